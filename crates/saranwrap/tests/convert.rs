//! Types of a program's own: derived conversions, against an interpreter.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

mod interpreter;

use saranwrap::{Fault, FromRemote, IntoRemote, Object, Value};

#[derive(Debug, PartialEq, FromRemote, IntoRemote)]
struct Point {
    x: f64,
    y: f64,
    #[remote(name = "class", default)]
    label: Option<String>,
}

#[derive(Debug, PartialEq, FromRemote, IntoRemote)]
struct Pair(i64, String);

#[derive(Debug, PartialEq, FromRemote, IntoRemote)]
struct Metres(f64);

#[derive(Debug, PartialEq, FromRemote, IntoRemote)]
enum Shape {
    #[remote(name = "empty")]
    Empty,
    Circle {
        radius: f64,
    },
    Line(Point, Point),
    Name(String),
}

#[derive(Debug, PartialEq, FromRemote, IntoRemote)]
struct Many<T> {
    items: Vec<T>,
}

fn evaluate(builtins: &saranwrap::Proxy, text: &str) -> Value {
    builtins.call_method("eval", (text,)).unwrap()
}

#[test]
fn a_struct_is_made_of_a_dict_or_of_attributes() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let dict = evaluate(&builtins, "{'x': 1, 'y': 2.5, 'class': 'a'}");
        let point = Point { x: 1.0, y: 2.5, label: Some("a".to_owned()) };
        assert_eq!(dict.extract::<Point>().unwrap(), point);
        let complex = evaluate(&builtins, "__import__('types').SimpleNamespace(x=1, y=2)");
        assert_eq!(complex.extract::<Point>().unwrap(), Point { x: 1.0, y: 2.0, label: None });
        assert_eq!(evaluate(&builtins, "(1, 'a')").extract::<Pair>().unwrap(), Pair(1, "a".to_owned()));
        assert_eq!(evaluate(&builtins, "[1, 'a']").extract::<Pair>().unwrap(), Pair(1, "a".to_owned()));
        assert_eq!(evaluate(&builtins, "3").extract::<Metres>().unwrap(), Metres(3.0));
        let many = evaluate(&builtins, "{'items': [3, 4]}").extract::<Many<u8>>().unwrap();
        assert_eq!(many, Many { items: vec![3, 4] });
    });
}

#[test]
fn what_does_not_fit_is_named() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let point = |text| evaluate(&builtins, text).extract::<Point>().unwrap_err().to_string();
        assert_eq!(point("{'x': 1}"), "there is no `y`");
        assert_eq!(point("{'x': 1, 'y': 'no'}"), "`y`: wanted a float, found a str");
        assert_eq!(point("5"), "wanted a dict or an object with attributes, found an int");
        let fault = evaluate(&builtins, "(1, 2, 3)").extract::<Pair>().unwrap_err();
        assert_eq!(fault.to_string(), "wanted 2 items, found 3");
        let fault = evaluate(&builtins, "b''").extract::<Shape>().unwrap_err().to_string();
        assert!(
            fault.starts_with("no variant of Shape fits: Empty: wanted \"empty\", found bytes; Circle: "),
            "{fault}"
        );
    });
}

#[test]
fn an_enum_is_its_first_variant_that_fits() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let shape = |text| evaluate(&builtins, text).extract::<Shape>().unwrap();
        assert_eq!(shape("'empty'"), Shape::Empty);
        assert_eq!(shape("'other'"), Shape::Name("other".to_owned()));
        assert_eq!(shape("{'radius': 2}"), Shape::Circle { radius: 2.0 });
        let origin = || Point { x: 0.0, y: 0.0, label: None };
        assert_eq!(shape("({'x': 0, 'y': 0}, {'x': 0, 'y': 0})"), Shape::Line(origin(), origin()));
    });
}

#[test]
fn they_go_there() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let repr = |value: Value| value.to_string();
        let point = || Point { x: 1.0, y: 2.0, label: None };
        let text = builtins.call_method("repr", (point(),)).map(repr).unwrap();
        assert_eq!(text, "{'x': 1.0, 'y': 2.0, 'class': None}");
        let text = builtins.call_method("repr", (Pair(1, "a".to_owned()),)).map(repr).unwrap();
        assert_eq!(text, "(1, 'a')");
        let text = builtins.call_method("repr", (Metres(1.5),)).map(repr).unwrap();
        assert_eq!(text, "1.5");
        let shapes = vec![Shape::Empty, Shape::Circle { radius: 1.0 }, Shape::Name("n".to_owned())];
        let text = builtins.call_method("repr", (shapes,)).map(repr).unwrap();
        assert_eq!(text, "['empty', {'radius': 1.0}, 'n']");
        let line = Shape::Line(point(), point());
        let back: Shape = builtins.call_method("tuple", (line,)).unwrap().extract().unwrap();
        assert_eq!(back, Shape::Line(point(), point()));
    });
}

#[test]
fn what_cannot_be_sent_is_said_before_anything_goes() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let path = std::path::Path::new(std::ffi::OsStr::new("a"));
        assert_eq!(builtins.call_method("str", (path,)).unwrap(), Value::Str("a".to_owned()));
        let refused: Result<i64, Fault> = Err(Fault::mismatch("not today"));
        assert_eq!(builtins.call_method("abs", (refused,)).unwrap_err().to_string(), "not today");
        assert_eq!(child.objects_out(), 0);
    });
}

#[derive(Debug, FromRemote)]
struct Node {
    #[allow(dead_code)] // What counts is that it is read.
    next: Option<Box<Node>>,
}

#[test]
fn an_object_that_leads_to_itself_is_no_value() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let endless = evaluate(&builtins, "type('Node', (), {'next': property(lambda self: self)})()");
        let fault = endless.extract::<Node>().unwrap_err();
        assert!(fault.to_string().contains("nested"), "{fault}");
        assert!(child.is_alive());
    });
}
