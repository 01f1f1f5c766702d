//! The `timeout = …` of an attribute.

use std::time::Duration;

/// What an attribute takes for a limit.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a number of seconds nor a `Duration`",
    label = "not a length of time"
)]
pub trait Limit {
    /// What is less than nothing, or not a number, is nothing; what is too much is the largest
    /// `Duration`.
    fn limit(self) -> Duration;
}

pub fn timeout(limit: impl Limit) -> Duration {
    limit.limit()
}

impl Limit for Duration {
    fn limit(self) -> Duration {
        self
    }
}

impl Limit for f64 {
    fn limit(self) -> Duration {
        // The greater one of a number and NaN is the number.
        Duration::try_from_secs_f64(self.max(0.0)).unwrap_or(Duration::MAX)
    }
}

impl Limit for f32 {
    fn limit(self) -> Duration {
        f64::from(self).limit()
    }
}

macro_rules! whole_seconds {
    ($($number:ty)*) => {$(
        impl Limit for $number {
            fn limit(self) -> Duration {
                let beyond = if self > 0 { Duration::MAX } else { Duration::ZERO };
                u64::try_from(self).map_or(beyond, Duration::from_secs)
            }
        }
    )*};
}

whole_seconds!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_limit() {
        assert_eq!(timeout(2), Duration::from_secs(2));
        assert_eq!(timeout(2.5), Duration::from_millis(2_500));
        assert_eq!(timeout(0.5_f32), Duration::from_millis(500));
        assert_eq!(timeout(Duration::from_nanos(7)), Duration::from_nanos(7));
        assert_eq!(timeout(u128::MAX), Duration::MAX);
        assert_eq!(timeout(f64::INFINITY), Duration::MAX);
        for nothing in [timeout(0), timeout(-1), timeout(-0.5), timeout(f64::NAN)] {
            assert_eq!(nothing, Duration::ZERO);
        }
    }
}
