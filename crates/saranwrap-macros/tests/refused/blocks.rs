//! Blocks that `wrap` cannot stand on.

struct Plain;

struct Many<T>(T);

#[saranwrap_macros::wrap(rename = "x")]
impl Plain {}

#[saranwrap_macros::wrap]
impl Drop for Plain {
    fn drop(&mut self) {}
}

#[saranwrap_macros::wrap]
impl<T> Many<T> {}

#[saranwrap_macros::wrap]
impl Many<i32> {}

#[saranwrap_macros::wrap]
impl [Plain] {}

fn main() {}
