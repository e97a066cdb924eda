//! Durations such as 90m or 1h30m, as Go writes them.

/// Nanoseconds of the units, longest name first where one begins with another.
const UNITS: [(&str, u128); 8] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

/// Reads a duration in nanoseconds; `None` if it is not valid or longer than 292 years.
pub fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0u128;
    loop {
        let whole = leading(&mut rest);
        let part = rest.strip_prefix('.').map(|after| {
            rest = after;
            leading(&mut rest)
        });
        let (unit, nanos) = UNITS.iter().find(|u| rest.starts_with(u.0) && !rest[u.0.len()..].starts_with(|c: char| c.is_alphabetic()))?;
        rest = &rest[unit.len()..];
        if whole.is_empty() && part.unwrap_or("").is_empty() || whole.len() > 19 {
            return None;
        }
        sum += whole.parse::<u128>().unwrap_or(0) * nanos;
        let mut share = *nanos;
        for digit in part.unwrap_or("").bytes().take(19) {
            share /= 10;
            sum += share * u128::from(digit - b'0');
        }
        if sum > i64::MAX as u128 {
            return None;
        }
        if rest.is_empty() {
            return Some(sign * sum as i64);
        }
    }
}

/// Removes the digits at the beginning of text and returns them.
fn leading<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits
}
