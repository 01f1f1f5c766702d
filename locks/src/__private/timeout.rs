//! The `timeout = …` and `hold_at_least = …` of an attribute.

use std::time::Duration;

/// What an attribute accepts as a duration.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a number of seconds nor a `Duration`",
    label = "not a duration"
)]
pub trait Seconds {
    /// Negative values and NaN become zero; values that are too large become `Duration::MAX`.
    fn duration(self) -> Duration;
}

pub fn timeout(timeout: impl Seconds) -> Duration {
    timeout.duration()
}

impl Seconds for Duration {
    fn duration(self) -> Duration {
        self
    }
}

impl Seconds for f64 {
    fn duration(self) -> Duration {
        // The greater one of a number and NaN is the number.
        Duration::try_from_secs_f64(self.max(0.0)).unwrap_or(Duration::MAX)
    }
}

impl Seconds for f32 {
    fn duration(self) -> Duration {
        f64::from(self).duration()
    }
}

macro_rules! whole_seconds {
    ($($number:ty)*) => {$(
        impl Seconds for $number {
            fn duration(self) -> Duration {
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
    fn every_number_is_a_timeout() {
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
