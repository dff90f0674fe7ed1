//! Functions that cannot be called from another process.  One block for each, as a block tells of its first fault.

struct Counter(i64);

#[saranwrap_macros::wrap]
impl Counter {
    pub async fn later(&self) {}
}

#[saranwrap_macros::wrap]
impl Counter {
    pub fn of<T: Into<i64>>(value: T) -> Self {
        Self(value.into())
    }
}

#[saranwrap_macros::wrap]
impl Counter {
    pub fn value(self) -> i64 {
        self.0
    }
}

#[saranwrap_macros::wrap]
impl Counter {
    pub fn add(&mut self, (one, other): (i64, i64)) {
        self.0 += one + other;
    }
}

#[saranwrap_macros::wrap]
impl Counter {
    pub fn write(&self, to: &mut Vec<i64>) {
        to.push(self.0);
    }
}

#[saranwrap_macros::wrap]
impl Counter {
    pub fn change(&mut self, how: impl Fn(i64) -> i64) {
        self.0 = how(self.0);
    }
}

#[saranwrap_macros::wrap]
impl Counter {
    pub fn below(&self) -> impl Iterator<Item = i64> {
        0..self.0
    }
}

fn main() {}
