//! procspawn: a closure in a process of a pool.

use crate::{Act, Result};

/// `root.noop(7)`.
pub fn call() -> Result<Act> {
    let pool = procspawn::Pool::new(1)?;
    Ok(Box::new(move || {
        let answer: i64 = pool.spawn(7_i64, |x| x).join()?;
        assert_eq!(answer, 7);
        Ok(())
    }))
}
