//! Kubernetes quantities, as far as two of them must be compared.

/// The amount in units of 10⁻⁹, rounded up as Kubernetes does; `None` for what is no quantity.
pub fn parse(text: &str) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (numerator, denominator) = scale(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits = format!("{}{fraction}", whole.trim_start_matches(['-', '+']));
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let scaled = digits
        .parse::<i128>()
        .ok()?
        .checked_mul(numerator)?
        .checked_mul(NANO)?;
    let divisor = denominator.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let amount = scaled.checked_add(divisor - 1)?.checked_div(divisor)?;
    Some(if negative { -amount } else { amount })
}

/// What one unit with this suffix is worth, as a fraction.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let thousand = |power| 1000_i128.pow(power);
    let binary = |power| 1024_i128.pow(power);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, thousand(3)),
        "u" => (1, thousand(2)),
        "m" => (1, thousand(1)),
        "k" => (thousand(1), 1),
        "M" => (thousand(2), 1),
        "G" => (thousand(3), 1),
        "T" => (thousand(4), 1),
        "P" => (thousand(5), 1),
        "E" => (thousand(6), 1),
        "Ki" => (binary(1), 1),
        "Mi" => (binary(2), 1),
        "Gi" => (binary(3), 1),
        "Ti" => (binary(4), 1),
        "Pi" => (binary(5), 1),
        "Ei" => (binary(6), 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    })
}

/// Whether two quantities are the same amount; texts that are no quantities are compared as they are.
pub fn same(one: &str, other: &str) -> bool {
    one == other || matches!((parse(one), parse(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_amount_in_many_spellings() {
        for (one, other) in [
            ("1", "1000m"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("1.5Gi", "1536Mi"),
            ("100u", "0.0001"),
            ("2E0", "2"),
            ("0.1n", "1n"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [("1", "1m"), ("1Gi", "1G"), ("x", "y"), ("-1", "1"), ("", "0")] {
            assert!(!same(one, other), "{one} {other}");
        }
        assert_eq!(parse("1Ei"), Some(1024_i128.pow(6) * 1_000_000_000));
        assert_eq!(parse("99999999999999999999Ei"), None, "too large is not a panic");
        assert_eq!((parse("e99"), parse("."), parse("1e999")), (None, None, None));
    }
}
