//! Dates in tables: UTC, from seconds since 1970.

use crate::time::Instant;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point in time as a date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Full year.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
}

impl Date {
    /// The date of a point in time, if the caller's epoch is that of Unix.
    pub fn of(time: Instant) -> Self {
        let seconds = time.as_secs();
        // The Gregorian calendar repeats after 400 years of 146,097 days; years begin in March, so that leap
        // days end them.
        let days = seconds / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: year + era * 400 + u64::from(month <= 2),
            month,
            day,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    /// `Nov22 00:14`, as in the tables of jobs and drains.
    pub fn short(&self) -> String {
        let month = usize::try_from(self.month)
            .ok()
            .and_then(|month| MONTHS.get(month.checked_sub(1)?))
            .unwrap_or(&"???");
        format!("{month}{:02} {:02}:{:02}", self.day, self.hour, self.minute)
    }

    /// `00:14:35`.
    pub fn clock(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Date;

    #[test]
    fn known_dates() {
        let text = |seconds| {
            let date = Date::of(Duration::from_secs(seconds));
            format!("{} {}", date.year, date.short())
        };
        assert_eq!(text(0), "1970 Jan01 00:00");
        assert_eq!(text(951_782_400), "2000 Feb29 00:00");
        assert_eq!(text(1_795_306_453), "2026 Nov22 00:14");
        assert_eq!(Date::of(Duration::from_secs(1_795_306_475)).clock(), "00:14:35");
    }
}
