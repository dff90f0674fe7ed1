//! Types that cannot be converted, and what their fields cannot say.

use saranwrap_macros::{FromRemote, IntoRemote};

#[derive(FromRemote)]
union Either {
    whole: u32,
    real: f32,
}

#[derive(IntoRemote)]
union Other {
    whole: u32,
    real: f32,
}

#[derive(FromRemote)]
struct Misspelt {
    #[remote(nmae = "x")]
    x: i32,
}

#[derive(IntoRemote)]
enum Renamed {
    #[remote(rename = "empty")]
    Empty,
}

fn main() {}
