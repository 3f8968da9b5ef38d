//! Flux standard durations: how `flux jobs` prints times and how limits such as `1m` are read (recordings 05 and 08).

use std::time::Duration;

/// A time as the column TIME shows it.
///
/// Below ten seconds three decimals, then four significant digits with the largest unit that is not above the value.
/// The unit is chosen before rounding: 9.9996 is `10.000s`, 59.999 is `60s`, 86399 is `24h`.
pub fn fsd(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 3_600.0;
    const DAY: f64 = 86_400.0;
    if seconds < 0.001 {
        "0s".to_owned()
    } else if seconds < 10.0 {
        format!("{seconds:.3}s")
    } else if seconds < MINUTE {
        format!("{}s", four_digits(seconds))
    } else if seconds < HOUR {
        format!("{}m", four_digits(seconds / MINUTE))
    } else if seconds < DAY {
        format!("{}h", four_digits(seconds / HOUR))
    } else {
        format!("{}d", four_digits(seconds / DAY))
    }
}

/// [`fsd`] of a `Duration`.
pub fn fsd_of(duration: Duration) -> String {
    fsd(duration.as_secs_f64())
}

/// C's `%.4g` of a positive number: four significant digits, no trailing zeros, an exponent from 10,000 on.
fn four_digits(value: f64) -> String {
    let rounded = format!("{value:.3e}");
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: usize = exponent.parse().unwrap_or(0);
    let trim = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match exponent {
        0..=2 => trim(&format!("{value:.*}", 3 - exponent)),
        3 => format!("{value:.0}"),
        _ => format!("{}e+{exponent:02}", trim(digits)),
    }
}

/// The text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid Flux standard duration")]
pub struct InvalidDuration;

/// Reads a duration in seconds: `30`, `30s`, `1.5h`, `100ms`, `1e3`, `inf`. Infinity means without limit.
pub fn parse_fsd(text: &str) -> Result<f64, InvalidDuration> {
    let text = text.trim_start();
    let lower = text.to_ascii_lowercase();
    if matches!(lower.trim_start_matches('+'), "inf" | "infinity") {
        return Ok(f64::INFINITY);
    }
    let end = number_end(text.as_bytes());
    let (number, unit) = text.split_at(end);
    let value: f64 = number.parse().map_err(|_| InvalidDuration)?;
    let factor = match unit.trim_start() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(InvalidDuration),
    };
    // Minus zero is not negative, anything below is.
    if value < 0.0 || !value.is_finite() { Err(InvalidDuration) } else { Ok(value.abs() * factor) }
}

/// Where the number at the start of the text ends: sign, digits, point, exponent.
fn number_end(text: &[u8]) -> usize {
    let digits = |from: usize| from + text.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let at = |position: usize| text.get(position).copied();
    let mut end = digits(usize::from(matches!(at(0), Some(b'+' | b'-'))));
    if at(end) == Some(b'.') {
        end = digits(end + 1);
    }
    if matches!(at(end), Some(b'e' | b'E')) {
        let start = end + 1 + usize::from(matches!(at(end + 1), Some(b'+' | b'-')));
        if digits(start) > start {
            end = digits(start);
        }
    }
    end
}
