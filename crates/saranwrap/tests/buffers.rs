//! Buffers: what objects of an interpreter lend to a Rust program, and slices that go there, over each transport and to the portable
//! child; and children that lie about them.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

mod interpreter;

use std::collections::HashMap;

use saranwrap::child::Carrier;
use saranwrap::{AsBuffer, Buffer, Callback, Object, Proxy, ReadOnlyCell, Session, Value};

/// Each way of having a child; none where there is no interpreter.
fn children() -> Vec<(&'static str, Session)> {
    let Some(python) = interpreter::python() else { return Vec::new() };
    let ways = [
        ("ring", python.clone().carrier(Carrier::Ring)),
        ("stream", python.clone().carrier(Carrier::Stream)),
        ("portable", python.portable()),
    ];
    ways.into_iter().map(|(name, python)| (name, python.spawn().unwrap())).collect()
}

/// How many blocks the child has given out and not got back.  The question takes what waits to be given back along.
fn blocks_out(child: &Session) -> i128 {
    let told: HashMap<String, Value> = child.status().unwrap().into_iter().collect();
    told["blocks_out"].clone().extract().unwrap()
}

/// How many blocks of this side the child looks at.
fn blocks_in(child: &Session) -> i128 {
    let told: HashMap<String, Value> = child.status().unwrap().into_iter().collect();
    told["blocks_in"].clone().extract().unwrap()
}

/// What an expression is there, with `array` and, if it is there, `numpy`.
fn made(child: &Session, expression: &str) -> Value {
    let builtins = child.builtins().unwrap();
    let names = builtins.call_method0("dict").unwrap();
    names.set_item("array", child.wrap_module("array").unwrap()).unwrap();
    if let Some(numpy) = numpy(child) {
        names.set_item("np", numpy).unwrap();
    }
    builtins.call_method("eval", (expression, &names)).unwrap()
}

fn numpy(child: &Session) -> Option<Proxy> {
    match child.wrap_module("numpy") {
        Ok(numpy) => Some(numpy),
        Err(fault) if fault.is_instance("ImportError") => {
            eprintln!("skipped: there is no numpy");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

fn read<T: saranwrap::Element>(cells: &[ReadOnlyCell<T>]) -> Vec<T> {
    cells.iter().map(ReadOnlyCell::get).collect()
}

#[test]
fn what_an_object_lends_is_read_as_numbers() {
    for (way, child) in children() {
        for count in [0usize, 3, 100_000] {
            let lender = made(&child, &format!("array.array('d', range({count}))"));
            let buffer = lender.buffer::<f64>().unwrap();
            let wanted: Vec<f64> = (0..count).map(|x| x as f64).collect();
            assert_eq!((buffer.item_count(), buffer.item_size(), buffer.len_bytes()), (count, 8, 8 * count), "{way}");
            assert_eq!((buffer.shape(), buffer.strides(), buffer.dimensions()), (&[count][..], &[8isize][..], 1));
            assert_eq!((buffer.format(), buffer.readonly()), ("d", true));
            assert_eq!(read(buffer.as_slice().unwrap()), wanted, "{way}");
            assert_eq!(buffer.to_vec(), wanted);
            assert!(buffer.iter().eq(wanted.iter().copied()) && buffer.iter().len() == count);
            let mut copy = vec![0.0; count];
            buffer.copy_to_slice(&mut copy).unwrap();
            assert_eq!(copy, wanted);
            let fault = buffer.copy_to_slice(&mut vec![0.0; count + 1]).unwrap_err();
            assert_eq!(
                fault.to_string(),
                format!("a buffer of {count} items was to be copied to a slice of {}", count + 1)
            );
        }
    }
}

#[test]
fn each_type_of_numbers_is_read() {
    for (way, child) in children() {
        macro_rules! same {
            ($($letter:literal $type:ident)*) => {$(
                let lender = made(&child, &format!("array.array('{}', [0, 1, 100])", $letter));
                assert_eq!(lender.buffer::<$type>().unwrap().to_vec(), [0 as $type, 1 as $type, 100 as $type], "{way} {}", $letter);
            )*};
        }
        same! { "b" i8 "B" u8 "h" i16 "H" u16 "i" i32 "I" u32 "l" i64 "L" u64 "q" i64 "Q" u64 "f" f32 "d" f64 }
        assert_eq!(made(&child, "bytearray(b'abc')").buffer::<u8>().unwrap().to_vec(), b"abc");
        assert_eq!(made(&child, "memoryview(b'abc')").buffer::<u8>().unwrap().to_vec(), b"abc");
        assert_eq!(made(&child, "b'abc'").buffer::<u8>().unwrap().to_vec(), b"abc", "it is here already");
        let long = made(&child, "bytes(100_000)").buffer::<u8>().unwrap();
        assert_eq!(long.to_vec(), vec![0; 100_000]);
    }
}

#[test]
fn another_type_is_named() {
    for (_, child) in children() {
        let fault = made(&child, "array.array('i', range(100_000))").buffer::<f64>().unwrap_err();
        let text = "wanted a buffer of f64 (format \"d\"), found the format \"i\" with items of 4 bytes";
        assert_eq!(fault.to_string(), text);
        let fault = made(&child, "object()").buffer::<u8>().unwrap_err();
        assert!(fault.is_instance("TypeError"), "{fault}");
        let fault = made(&child, "1").buffer::<u8>().unwrap_err();
        assert_eq!(fault.to_string(), "wanted a buffer, found an int");
        assert_eq!(blocks_out(&child), 0);
    }
}

#[test]
fn a_block_is_held_as_long_as_it_is_looked_at() {
    for (way, child) in children() {
        let lender = made(&child, "bytearray(100_000)");
        let shared = i128::from(way != "portable");
        let buffer = lender.buffer::<u8>().unwrap();
        let more = lender.buffer::<u8>().unwrap();
        lender.set_item(0, 7).unwrap();
        assert_eq!(buffer.as_slice().unwrap()[0].get(), 0, "{way}: it is as it was");
        assert_eq!(blocks_out(&child), 2 * shared, "{way}");
        let clone = buffer.clone();
        drop((buffer, more));
        assert_eq!(blocks_out(&child), shared, "{way}");
        assert_eq!(clone.to_vec(), vec![0; 100_000]);
        drop(clone);
        assert_eq!(blocks_out(&child), 0, "{way}");
        assert_eq!(lender.buffer::<u8>().unwrap().to_vec()[0], 7);
    }
}

#[test]
fn it_outlives_the_child() {
    for (way, child) in children() {
        let buffer = made(&child, "array.array('q', range(100_000))").buffer::<i64>().unwrap();
        child.kill();
        assert_eq!(buffer.iter().sum::<i64>(), 100_000 * 99_999 / 2, "{way}");
        drop(child);
        assert_eq!(buffer.as_slice().unwrap()[99_999].get(), 99_999, "{way}");
        drop(buffer);
    }
}

#[test]
fn arrays_lie_in_the_order_that_they_have() {
    for (way, child) in children() {
        if numpy(&child).is_none() {
            return;
        }
        let matrix = "np.arange(60_000, dtype='i4').reshape(100, 600)";
        let buffer = made(&child, matrix).buffer::<i32>().unwrap();
        assert_eq!((buffer.shape(), buffer.strides()), (&[100, 600][..], &[2400isize, 4][..]), "{way}");
        assert!(buffer.is_c_contiguous() && !buffer.is_fortran_contiguous());
        let turned = made(&child, &format!("{matrix}.T")).buffer::<i32>().unwrap();
        assert_eq!(turned.shape(), [600, 100], "{way}");
        let of_column: Vec<i32> = (0..600).flat_map(|column| (0..100).map(move |row| row * 600 + column)).collect();
        assert_eq!(turned.to_vec(), of_column, "{way}");
        if let Some(cells) = turned.as_fortran_slice() {
            assert_eq!(read(cells), buffer.to_vec(), "{way}");
        }
        // What lies in neither order is brought into that of C by the child.
        let parts = made(&child, &format!("{matrix}[::2, ::3]")).buffer::<i32>().unwrap();
        assert_eq!(parts.shape(), [50, 200]);
        assert_eq!(read(parts.as_slice().unwrap())[..3], [0, 3, 6], "{way}");
        let single = made(&child, "np.array(5.5)").buffer::<f64>().unwrap();
        assert_eq!((single.shape(), single.to_vec()), (&[][..], vec![5.5]), "{way}");
        let other = made(&child, "np.arange(3, dtype='>i4')");
        assert!(other.buffer::<i32>().unwrap_err().to_string().contains(r#"found the format ">i""#), "{way}");
        assert_eq!(other.untyped_buffer().unwrap().format(), ">i");
    }
}

#[test]
fn a_slice_arrives_as_a_view() {
    for (way, child) in children() {
        let numbers: Vec<f64> = (0..100_000).map(f64::from).collect();
        let tell = made(&child, "lambda view: (type(view).__name__, view.format, view.shape, view.readonly, view[-1])");
        let told = |count: usize| tell.call((AsBuffer(&numbers[..count]),)).unwrap().to_string();
        assert_eq!(told(3), "('memoryview', 'd', (3,), True, 2.0)", "{way}");
        assert_eq!(told(100_000), "('memoryview', 'd', (100000,), True, 99999.0)", "{way}");
        let empty = made(&child, "lambda view: (view.format, view.nbytes)");
        assert_eq!(empty.call((AsBuffer::<i16>(&[]),)).unwrap().to_string(), "('h', 0)", "{way}");
        assert_eq!(blocks_in(&child), 0, "{way}");
        // It is there as long as somebody there has it.
        let kept = child.builtins().unwrap().call_method("memoryview", (AsBuffer(&numbers),)).unwrap();
        assert_eq!(blocks_in(&child), i128::from(way != "portable"), "{way}");
        assert_eq!(kept.buffer::<f64>().unwrap().to_vec(), numbers, "{way}");
        drop(kept);
        assert_eq!((blocks_in(&child), blocks_out(&child)), (0, 0), "{way}");
        if let Some(numpy) = numpy(&child) {
            let array = numpy.call_method("asarray", (AsBuffer(&numbers),)).unwrap();
            assert_eq!(array.call_method0("sum").unwrap().extract::<f64>().unwrap(), numbers.iter().sum::<f64>());
            assert_eq!(array.getattr("dtype").unwrap().str().unwrap(), "float64");
        }
    }
}

#[test]
fn a_buffer_goes_back_and_elsewhere() {
    let mut elsewhere = children();
    for (way, child) in children() {
        let lender = made(&child, "array.array('d', range(100_000))");
        let buffer = lender.buffer::<f64>().unwrap();
        let equal = made(&child, "lambda one, other: memoryview(one) == other");
        for _ in 0..3 {
            assert!(equal.call((&lender, &buffer)).unwrap().extract::<bool>().unwrap(), "{way}");
        }
        assert_eq!(blocks_out(&child), i128::from(way != "portable"), "{way}: it was only named");
        for (other_way, other) in &mut elsewhere {
            let sum = other.builtins().unwrap().call_method("sum", (&buffer,)).unwrap();
            assert_eq!(sum.extract::<f64>().unwrap(), 4_999_950_000.0, "from {way} to {other_way}");
            assert_eq!((blocks_in(other), blocks_out(other)), (0, 0), "from {way} to {other_way}");
        }
        // Nothing but the message has it.
        assert!(equal.call((&lender, buffer)).unwrap().extract::<bool>().unwrap(), "{way}");
        assert_eq!(blocks_out(&child), 0, "{way}");
    }
}

#[test]
fn a_closure_takes_and_gives_buffers() {
    for (way, child) in children() {
        let call = made(&child, "lambda f, x: f(x)");
        let take = Callback::new(|(buffer,): (Buffer<i32>,)| buffer.iter().sum::<i32>());
        let lender = made(&child, "array.array('i', range(20_000))");
        assert_eq!(call.call((take, &lender)).unwrap(), Value::Int(199_990_000), "{way}");
        let give = Callback::new(|(proxy,): (Proxy,)| proxy.buffer::<i32>());
        let back = call.call((give, &lender)).unwrap();
        assert_eq!(back.buffer::<i32>().unwrap().item_count(), 20_000, "{way}");
        drop(back);
        assert_eq!((blocks_in(&child), blocks_out(&child)), (0, 0), "{way}");
    }
}

#[test]
fn one_is_made_of_a_slice() {
    let buffer = Buffer::from(&[1.5f32, 2.5, 3.5][..]);
    assert_eq!((buffer.format(), buffer.shape(), buffer.to_vec()), ("f", &[3][..], vec![1.5, 2.5, 3.5]));
    for (way, child) in children() {
        let told = made(&child, "lambda view: view.tolist()").call((&buffer,)).unwrap();
        assert_eq!(told.extract::<Vec<f32>>().unwrap(), [1.5, 2.5, 3.5], "{way}");
    }
}

#[test]
fn buffers_are_awaited_and_travel_in_pipelines() {
    for (way, child) in children() {
        let large = vec![1u16; 50_000];
        let builtins = child.builtins().unwrap();
        let same = made(&child, "lambda *args: args[-1]");
        let later = same.later().unwrap();
        let sum = smol::block_on(builtins.later().call_method("sum", (AsBuffer(&large),))).unwrap();
        assert_eq!(sum, Value::Int(50_000), "{way}");
        let text = smol::block_on(later.call((AsBuffer(&large), &vec![7u8; 50_000]))).unwrap();
        assert_eq!(text, Value::Bytes(vec![7; 50_000]), "{way}");
        let lender = made(&child, "bytearray(50_000)");
        let lent = lender.buffer::<u8>().unwrap();
        let pipeline = child.pipeline();
        let lent_there = pipeline.of(&lender).unwrap().special("__buffer__", ());
        let on = pipeline.of(&same).unwrap();
        let (one, other) =
            (on.call((&lent, AsBuffer(&large), "text")), on.call((AsBuffer(&large), &vec![7u8; 50_000])));
        pipeline.run().unwrap();
        assert_eq!(one.extract::<String>().unwrap(), "text", "{way}");
        assert_eq!(other.extract::<Vec<u8>>().unwrap(), vec![7; 50_000], "{way}");
        assert_eq!(lent_there.extract::<Buffer<u8>>().unwrap().item_count(), 50_000, "{way}");
        let awaited = smol::block_on(lender.later().unwrap().buffer()).unwrap().extract::<Buffer<u8>>().unwrap();
        assert_eq!(awaited.to_vec(), vec![0; 50_000], "{way}");
        drop((lent, lender, pipeline, one, other, lent_there, awaited));
        assert_eq!((blocks_in(&child), blocks_out(&child)), (0, 0), "{way}");
    }
}

#[test]
fn what_is_large_comes_back_as_itself() {
    for (way, child) in children() {
        let large = vec![7u8; 1 << 20];
        let same = made(&child, "lambda x, y=None: x");
        assert_eq!(same.call((&large,)).unwrap(), Value::Bytes(large.clone()), "{way}");
        assert_eq!(same.call(("text", &large)).unwrap(), Value::Str("text".to_owned()), "{way}");
        let space = child.wrap_module("types").unwrap().call_method0("SimpleNamespace").unwrap();
        space.setattr("same", &same).unwrap();
        assert_eq!(space.call_method("same", (&large,)).unwrap(), Value::Bytes(large.clone()), "{way}");
        // The attribute is for this side to call.
        space.setattr("len", Callback::new(|(bytes,): (Vec<u8>,)| bytes.len())).unwrap();
        assert_eq!(space.call_method("len", (&large,)).unwrap(), Value::Int(1 << 20), "{way}");
        assert_eq!((blocks_in(&child), blocks_out(&child)), (0, 0), "{way}");
    }
}
