//! An act over and over: how often it fits into a turn, and how long one took.

use std::time::Instant;

use crate::{Act, Result};

/// An act, and how often it is done in a turn.
pub struct Repeated {
    act: Act,
    count: u64,
}

impl Repeated {
    /// Find out how often it fits into that many seconds, by doing it.
    pub fn prepare(act: Act, seconds: f64) -> Result<Self> {
        let mut repeated = Self { act, count: 1 };
        loop {
            let took = repeated.turn()? * repeated.count as f64;
            if took * 4.0 > seconds {
                repeated.count = ((repeated.count as f64 * seconds / took) as u64).max(1);
                return Ok(repeated);
            }
            repeated.count *= 2;
        }
    }

    /// The seconds that one took.
    pub fn turn(&mut self) -> Result<f64> {
        let began = Instant::now();
        for _ in 0..self.count {
            (self.act)()?;
        }
        Ok(began.elapsed().as_secs_f64() / self.count as f64)
    }
}
