//! Automatic names as Keras makes them: snake case, then `_1`, `_2`, ... within the process.

use std::collections::HashMap;
use std::sync::Mutex;

static USED: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);

/// Starts the numbering of automatic names again, as Keras's function of this name does:
/// the next unnamed `Dense` is `dense`.
///
/// ```
/// use wgtensor::nn::prelude::*;
///
/// let name = || -> String { Sequential::new().add(Dense::new(1)).layers().next().unwrap().name().into() };
/// wgtensor::nn::clear_session();
/// assert_eq!((name(), name()), ("dense".into(), "dense_1".into()));
/// wgtensor::nn::clear_session();
/// assert_eq!(name(), "dense");
/// ```
pub fn clear_session() {
    *lock() = None;
}

/// The next free name for an object of class `class`.
pub(crate) fn auto(class: &str) -> String {
    let name = snake_case(class);
    let mut used = lock();
    let count = used.get_or_insert_with(HashMap::new).entry(name.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { name } else { format!("{name}_{}", *count - 1) }
}

fn lock() -> std::sync::MutexGuard<'static, Option<HashMap<String, usize>>> {
    USED.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// `MaxPooling2D` to `max_pooling2d`, `ReLU` to `re_lu`: Keras's two regular expressions
/// `(.)([A-Z][a-z]+)` and `([a-z])([A-Z])`, each replaced by `\1_\2`, then lower case.
pub(crate) fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut words = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let starts_word = c.is_ascii_uppercase() && chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        let after_lower = c.is_ascii_uppercase() && i > 0 && chars[i - 1].is_ascii_lowercase();
        if i > 0 && (starts_word || after_lower) {
            words.push('_');
        }
        words.push(c);
    }
    words.to_lowercase()
}

/// Keras's form of a batch's shape: the batch dimension is `None`.
pub(crate) fn with_batch(sample: &[usize]) -> String {
    let dims: String = sample.iter().map(|d| format!(", {d}")).collect();
    if sample.is_empty() { "(None,)".into() } else { format!("(None{dims})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_is_keras_s() {
        for (class, name) in [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("MaxPooling2D", "max_pooling2d"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("BatchNormalization", "batch_normalization"),
            ("ReLU", "re_lu"),
            ("Sequential", "sequential"),
            ("AdamW", "adam_w"),
            ("BinaryCrossentropy", "binary_crossentropy"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }

    #[test]
    fn batch_shapes() {
        assert_eq!(with_batch(&[28, 28, 1]), "(None, 28, 28, 1)");
        assert_eq!(with_batch(&[]), "(None,)");
    }
}
