//! Types that serde knows, as values: one wrapper for both ways.  Only with the feature `serde`.

mod read;
mod write;

use std::fmt;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::convert::{FromRemote, IntoRemote};
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::value::Value;

/// Whatever [serde](https://serde.rs) can write or read, as what crosses.
///
/// Structs are dicts with texts as their keys, sequences are lists, tuples are tuples, maps are dicts, `()` and `None` are `None`, a
/// newtype is what is in it.  An enum is tagged from outside, as in JSON: a variant alone is its name, any other a dict of its name and
/// what is in it.  What the type says to serde (`rename`, `flatten`, `untagged`, ...) holds.
///
/// On the way here a list or a dict that stayed there is fetched, sets are sequences, and bytes are read by whoever wants bytes
/// (`serde_bytes`) or a sequence of numbers.  What does not fit is a [`Fault::Mismatch`] that names the place: `` `rows[3].size`: wanted
/// u8, found the int 300 ``.
///
/// ```no_run
/// use saranwrap::{Fault, Object, Python, Serde};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Order {
///     name: String,
///     counts: Vec<u32>,
/// }
///
/// let copy = Python::new().spawn()?.wrap_module("copy")?;
/// let order = Order { name: "figs".to_owned(), counts: vec![1, 2] };
/// let Serde(back): Serde<Order> = copy.call_method("copy", (Serde(&order),))?.extract()?;
/// assert_eq!(back.counts, order.counts);
/// # Ok::<(), Fault>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serde<T>(pub T);

impl<T: Serialize> IntoRemote for Serde<T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.value(&self.0.serialize(write::Writing)?)
    }
}

impl<T: DeserializeOwned> FromRemote for Serde<T> {
    fn from_remote(value: Value) -> Result<Self> {
        Ok(Self(T::deserialize(read::Reading::new(value))?))
    }
}

/// Why a value and a type do not fit, and where in the value.
#[derive(Debug)]
struct Misfit {
    /// From the inside to the outside.
    place: Vec<Step>,
    fault: Fault,
}

/// One step into a value.
#[derive(Debug)]
enum Step {
    /// The place in a row, or a key that is a number.
    Item(i128),
    /// A key that is a text.
    Name(String),
    /// Any other key.
    Key(String),
}

impl Misfit {
    fn new(what: impl Into<String>) -> Self {
        Self { place: Vec::new(), fault: Fault::mismatch(what) }
    }

    /// The same, seen from one step further out.
    fn inside(mut self, step: Step) -> Self {
        self.place.push(step);
        self
    }
}

impl Step {
    fn item(place: usize) -> Self {
        Self::Item(place as i128)
    }

    /// Where the value behind this key is.
    fn behind(key: &Value) -> Self {
        match key {
            Value::Str(text) => Self::Name(text.clone()),
            Value::Int(number) => Self::Item(*number),
            other => Self::Key(other.literal()),
        }
    }
}

impl From<Fault> for Misfit {
    fn from(fault: Fault) -> Self {
        Self { place: Vec::new(), fault }
    }
}

/// The place as it would be written in a program; nothing for the whole value.
fn written(place: &[Step]) -> String {
    place.iter().rev().fold(String::new(), |outside, step| match step {
        Step::Item(place) => format!("{outside}[{place}]"),
        Step::Key(key) => format!("{outside}[{key}]"),
        Step::Name(name) if outside.is_empty() => name.clone(),
        Step::Name(name) => format!("{outside}.{name}"),
    })
}

impl From<Misfit> for Fault {
    fn from(misfit: Misfit) -> Self {
        match misfit.fault {
            // What was raised and what happened to the link is no matter of the place.
            Self::Mismatch(what) if !misfit.place.is_empty() => {
                Self::mismatch(format!("`{}`: {what}", written(&misfit.place)))
            }
            other => other,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Misfit {}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // In a test a panic is the message.
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use ::serde::Deserialize;
    use proptest::prelude::*;

    use super::*;
    use crate::remote::value::BigInt;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Leaf {
        #[serde(rename = "class")]
        small: i8,
        wide: (u64, i128, u128),
        real: f64,
        letter: char,
        text: Option<String>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Empty,
        One(Leaf),
        Pair(Box<Tree>, bool),
        Named { by: BTreeMap<String, Tree>, at: BTreeMap<i64, Vec<u8>>, nothing: () },
        Many(Vec<Tree>),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Metres(f32);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Number(i64),
        Words(Vec<String>),
    }

    fn leaf() -> impl Strategy<Value = Leaf> {
        let parts = (any::<i8>(), any::<(u64, i128, u128)>(), -1e300..1e300, any::<char>(), any::<Option<String>>());
        parts.prop_map(|(small, wide, real, letter, text)| Leaf { small, wide, real, letter, text })
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let end = prop_oneof![Just(Tree::Empty), leaf().prop_map(Tree::One)];
        end.prop_recursive(4, 32, 4, |inside| {
            let by = prop::collection::btree_map(any::<String>(), inside.clone(), 0..4);
            let at = prop::collection::btree_map(any::<i64>(), any::<Vec<u8>>(), 0..4);
            prop_oneof![
                (inside.clone(), any::<bool>()).prop_map(|(tree, flag)| Tree::Pair(Box::new(tree), flag)),
                (by, at).prop_map(|(by, at)| Tree::Named { by, at, nothing: () }),
                prop::collection::vec(inside, 0..4).prop_map(Tree::Many),
            ]
        })
    }

    fn value(from: impl Serialize) -> Value {
        from.serialize(write::Writing).map_err(Fault::from).unwrap()
    }

    fn back<T: DeserializeOwned>(value: Value) -> Result<T> {
        Serde::from_remote(value).map(|Serde(made)| made)
    }

    fn wrong<T: DeserializeOwned + Debug>(value: Value) -> String {
        back::<T>(value).unwrap_err().to_string()
    }

    fn text(text: &str) -> Value {
        Value::Str(text.to_owned())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_value_comes_back(tree in tree()) {
            prop_assert_eq!(back::<Tree>(value(&tree)).unwrap(), tree);
        }
    }

    #[test]
    fn each_kind_has_its_form() {
        let leaf = Leaf { small: 1, wide: (2, 3, u128::MAX), real: 0.5, letter: 'x', text: None };
        let Value::Dict(pairs) = value(&leaf) else { panic!("a struct is a dict") };
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(keys, ["class", "wide", "real", "letter", "text"]);
        assert_eq!(value(Tree::Empty), text("Empty"));
        assert_eq!(value(Tree::Many(vec![Tree::Empty])).literal(), "{'Many': ['Empty']}");
        assert_eq!(value(Tree::Pair(Box::new(Tree::Empty), true)).literal(), "{'Pair': ('Empty', True)}");
        assert_eq!(value((Metres(1.5), Nothing, Some(2), "é")).literal(), "(1.5, None, 2, 'é')");
        assert_eq!(value([Loose::Number(1), Loose::Words(vec!["a".to_owned()])]).literal(), "(1, ['a'])");
    }

    #[test]
    fn more_is_understood_than_is_written() {
        assert_eq!(back::<Vec<u8>>(Value::Bytes(vec![1, 2])).unwrap(), [1, 2]);
        assert_eq!(back::<Vec<i32>>(Value::FrozenSet(vec![Value::Int(3)])).unwrap(), [3]);
        assert_eq!(back::<(i32, f64)>(Value::List(vec![Value::Int(3), Value::Int(4)])).unwrap(), (3, 4.0));
        assert_eq!(back::<Loose>(Value::Tuple(vec![text("a")])).unwrap(), Loose::Words(vec!["a".to_owned()]));
        assert_eq!(back::<Nothing>(Value::None).unwrap(), Nothing);
        let unit = Value::Dict(vec![(text("Empty"), Value::None)]);
        assert_eq!(back::<Tree>(unit).unwrap(), Tree::Empty);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let tree = |inside: Value| Value::Dict(vec![(text("Many"), Value::List(vec![text("Empty"), inside]))]);
        assert_eq!(wrong::<Tree>(tree(text("Oak"))), "`Many[1]`: there is no variant `Oak`");
        assert_eq!(wrong::<Tree>(tree(Value::Int(3))), "`Many[1]`: wanted a variant of Tree, found an int");
        let at = Value::Dict(vec![(Value::Int(-4), Value::Bytes(vec![0]))]);
        assert_eq!(wrong::<BTreeMap<i64, i64>>(at), "`[-4]`: wanted i64, found bytes");
        let by = Value::Dict(vec![(text("a"), Value::Dict(vec![(text("b"), Value::Int(300))]))]);
        assert_eq!(wrong::<BTreeMap<String, BTreeMap<String, u8>>>(by), "`a.b`: wanted u8, found the int 300");
        let big = BigInt { negative: false, magnitude: vec![1; 17] };
        assert_eq!(
            wrong::<Vec<u128>>(Value::List(vec![Value::BigInt(big)])),
            "`[0]`: an int of more than 128 bits is no number here"
        );
        assert_eq!(wrong::<[u8; 2]>(Value::Bytes(vec![1, 2, 3])), "wanted 2 items, found 3");
        assert_eq!(wrong::<Leaf>(Value::Dict(Vec::new())), "there is no `class`");
        assert_eq!(wrong::<Tree>(text("One")), "the variant One is without what is in it");
        assert_eq!(wrong::<String>(Value::Ellipsis), "Ellipsis is nothing that serde knows");
    }

    #[test]
    fn what_cannot_be_written_is_named_with_its_place() {
        let keyed = vec![BTreeMap::from([((1, vec![2]), 3)])];
        let misfit = keyed.serialize(write::Writing).unwrap_err();
        assert_eq!(Fault::from(misfit).to_string(), "`[0]`: a list cannot be the key of a dict");
    }

    #[test]
    fn the_depth_of_what_comes_is_bounded() {
        let deep = |depth| {
            (0..depth).fold(text("Empty"), |inside, _| Value::Dict(vec![(text("Many"), Value::List(vec![inside]))]))
        };
        assert!(back::<Tree>(deep(60)).is_ok());
        assert!(wrong::<Tree>(deep(400)).ends_with("nested deeper than 128 cannot be read"));
    }
}
