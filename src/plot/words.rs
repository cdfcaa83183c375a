//! Names, as far as there is room for them.

/// A text on one line, of at most so many letters.
pub(super) fn words(text: &str, letters: usize) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let all: Vec<char> = text.chars().map(clean).collect();
    if all.len() <= letters {
        return all.into_iter().collect();
    }
    let kept = all[..letters.saturating_sub(1)].iter();
    kept.chain(['…'].iter().take(letters)).collect()
}
