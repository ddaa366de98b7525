//! What is computed at the end, from accumulators.

use super::super::value::Value;

/// Returns (n Σx² − (Σx)²) / (n (n − 1)), or / n² for the population. The numerator is exact unless Σx needs more than
/// 64 bits, or n Σx² more than 127 bits. One value has the variance 0.
pub(super) fn variance(count: &Value, sum: &Value, squares: &Value, is_population: bool) -> Value {
    let [Some(n), Some(sum), Some(squares)] = [count, sum, squares].map(Value::as_whole) else {
        return Value::Null;
    };
    match n {
        0 => return Value::Null,
        1 => return Value::Float(0.0),
        _ => (),
    }
    let square = i64::try_from(sum).ok().map(|_| sum * sum);
    let scaled = n
        .checked_mul(squares)
        .zip(square)
        .map(|(squares, square)| (squares - square).max(0) as f64);
    let [n, sum, squares] = [n, sum, squares].map(|number| number as f64);
    let scaled = scaled.unwrap_or_else(|| (n * squares - sum * sum).max(0.0));
    let divisor = if is_population { n * n } else { n * (n - 1.0) };
    Value::finite(scaled / divisor)
}

pub(super) fn float_variance(of: &Value, is_population: bool) -> Value {
    match of {
        Value::Moments(moments) => match moments.as_slice() {
            [0.0, ..] => Value::Null,
            [1.0, ..] => Value::Float(0.0),
            [n, _, squares] if is_population => Value::finite(squares / n),
            [n, _, squares] => Value::finite(squares / (n - 1.0)),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// Returns g1, the skewness of the population. Equal values have none.
pub(super) fn skewness(of: &Value) -> Value {
    match of {
        Value::Moments(moments) => match moments.as_slice() {
            [n, _, second, third, _] => Value::finite(n.sqrt() * third / second.powf(1.5)),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// Returns g2, the excess kurtosis of the population. Equal values have none.
pub(super) fn kurtosis(of: &Value) -> Value {
    match of {
        Value::Moments(moments) => match moments.as_slice() {
            [n, _, second, _, fourth] => Value::finite(n * fourth / (second * second) - 3.0),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// Returns Pearson's correlation. Equal values have none.
pub(super) fn correlation(of: &Value) -> Value {
    match of {
        Value::Moments(moments) => match moments.as_slice() {
            [_, xx, yy, xy] => Value::finite(xy / (xx.sqrt() * yy.sqrt())),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// Returns a quantile with linear interpolation between the two nearest values, as NumPy and pandas do.
pub(super) fn quantile(list: &Value, at: f64) -> Value {
    let Value::List(values) = list else {
        return Value::Null;
    };
    let mut sorted: Vec<f64> = values.iter().filter_map(Value::as_float).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return Value::Null;
    };
    let place = at * last as f64;
    let below = place.floor();
    let [low, high] = [below as usize, (below as usize + 1).min(last)].map(|index| sorted[index]);
    Value::finite(low + (high - low) * (place - below))
}

/// Returns the entropy in bits of bytes, or of counts. Counts below 1 are left out.
pub(super) fn entropy(of: &Value) -> Value {
    let mut counts = vec![0_i64; 256];
    match of {
        Value::Bytes(bytes) => bytes
            .iter()
            .for_each(|&byte| counts[usize::from(byte)] += 1),
        Value::List(values) => {
            let whole = |value: &Value| value.as_whole().unwrap_or(0) as i64;
            counts = values.iter().map(whole).collect();
        }
        _ => return Value::Null,
    }
    let counts = || counts.iter().filter(|&&count| count > 0);
    let all = counts().fold(0.0, |all, &count| all + count as f64);
    let add = |entropy: f64, &count: &i64| {
        let share = count as f64 / all;
        entropy - share * libm::log2(share)
    };
    match counts().count() {
        0 => Value::Null,
        _ => Value::finite(counts().fold(0.0, add)),
    }
}
