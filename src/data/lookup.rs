//! Numbers for words.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::array::Array;
use crate::error::{Error, Kind, Result, entry};

/// Numbers for words, and words for numbers: Keras's `StringLookup`. Tensors hold numbers only, so it stands before the model
/// (or, with [`words`](Self::words), behind it), and its vocabulary is kept beside the model's file.
///
/// Numbers start with that of the mask, where there is one, then that of words that are not known (`[UNK]`), then the words.
///
/// ```
/// use wgtensor::data::StringLookup;
///
/// let mut lookup = StringLookup::new();
/// lookup.adapt(["red", "blue", "red", "green", "red", "blue"])?;
/// assert_eq!(lookup.get_vocabulary(), ["[UNK]", "red", "blue", "green"]); // the most frequent first
/// let numbers = lookup.lookup(["blue", "pink"])?;
/// assert_eq!(numbers.to_vec::<i32>()?, [2, 0]);
/// assert_eq!(lookup.words(&numbers), ["blue", "[UNK]"]);
///
/// // The same in another program, of the words alone.
/// let again = StringLookup::new().vocabulary(["red", "blue", "green"])?;
/// assert_eq!(again.get_vocabulary(), lookup.get_vocabulary());
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StringLookup {
    words: Vec<String>,
    /// The place of each of `words`.
    places: HashMap<String, usize>,
    max_tokens: Option<usize>,
    mask_token: Option<String>,
    oov_token: Option<String>,
}

impl Default for StringLookup {
    fn default() -> Self {
        Self::new()
    }
}

impl StringLookup {
    /// Without a mask, with a number for unknown words, of as many words as there are.
    pub fn new() -> Self {
        StringLookup {
            words: Vec::new(),
            places: HashMap::new(),
            max_tokens: None,
            mask_token: None,
            oov_token: Some("[UNK]".into()),
        }
    }

    /// A word that stands for nothing, often `""`: its number is 0.
    pub fn mask_token(mut self, token: impl Into<String>) -> Self {
        self.mask_token = Some(token.into());
        self
    }

    /// The word for those that are not known, `"[UNK]"` by default; with `None` an unknown word is an error.
    pub fn oov_token<'a>(mut self, token: impl Into<Option<&'a str>>) -> Self {
        self.oov_token = token.into().map(str::to_owned);
        self
    }

    /// At most so many numbers, those of the mask and of unknown words included; [`adapt`](Self::adapt) keeps the most frequent
    /// words.
    pub fn max_tokens(mut self, count: usize) -> Self {
        self.max_tokens = Some(count);
        self
    }

    /// Of these words, in their order, after the settings above; mask and unknown may stand in front, as
    /// [`get_vocabulary`](Self::get_vocabulary) gives them.
    ///
    /// # Errors
    /// No word, one twice, mask or unknown among them, or more than `max_tokens` allows.
    #[track_caller]
    pub fn vocabulary(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let mut words: Vec<String> = words.into_iter().map(Into::into).collect();
        let own: Vec<&String> = self.mask_token.iter().chain(&self.oov_token).collect();
        if words.len() >= own.len() && own.iter().zip(&words).all(|(own, word)| *own == word) {
            words.drain(..own.len());
        }
        if let Some(word) = words.iter().find(|word| own.contains(word)) {
            return Err(Error::parts(
                Kind::Argument,
                "Found a reserved token at an unexpected location in the vocabulary",
                &format!("{word:?}"),
                "mask and unknown in front, or left out",
                "Leave it out",
            ));
        }
        if let Some(most) = self.max_tokens.filter(|&most| words.len() + self.special() > most) {
            return Err(Error::parts(
                Kind::Argument,
                "Attempted to set a vocabulary larger than the maximum vocab size",
                &format!("{} numbers", words.len() + self.special()),
                &format!("at most max_tokens={most}"),
                "Leave words out, or raise `max_tokens`",
            ));
        }
        entry(|| self.set(words))?;
        Ok(self)
    }

    /// Counts words, and knows them from then on in place of those before: the most frequent first, of those that are equally
    /// frequent the last in the alphabet, as Keras has it.
    ///
    /// # Errors
    /// No word.
    #[track_caller]
    pub fn adapt(&mut self, words: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in words {
            match counts.get_mut(word.as_ref()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.as_ref().to_owned(), 1)),
            }
        }
        for own in self.mask_token.iter().chain(&self.oov_token) {
            counts.remove(own);
        }
        let mut found: Vec<(usize, String)> = counts.into_iter().map(|(word, count)| (count, word)).collect();
        found.sort_unstable_by(|a, b| Reverse(a).cmp(&Reverse(b)));
        let most = self.max_tokens.map_or(usize::MAX, |most| most.saturating_sub(self.special()));
        entry(|| self.set(found.into_iter().map(|(_, word)| word).take(most).collect()))
    }

    /// Takes these words.
    fn set(&mut self, words: Vec<String>) -> Result<()> {
        let wrong = |happened: &str, received: &str| {
            let expected = "at least one word, and each once";
            Error::parts(Kind::Argument, happened, received, expected, "Check the list of words")
        };
        if words.is_empty() {
            return Err(wrong("Cannot set an empty vocabulary", "no word"));
        }
        let mut places = HashMap::with_capacity(words.len());
        for (place, word) in words.iter().enumerate() {
            if places.insert(word.clone(), place).is_some() {
                return Err(wrong("The passed vocabulary has at least one repeated term", &format!("{word:?} twice")));
            }
        }
        (self.words, self.places) = (words, places);
        Ok(())
    }

    /// How many numbers stand before those of the words.
    fn special(&self) -> usize {
        usize::from(self.mask_token.is_some()) + usize::from(self.oov_token.is_some())
    }

    /// How many numbers there are: what an [`Embedding`](crate::nn::layers::Embedding) takes as `input_dim`.
    pub fn vocabulary_size(&self) -> usize {
        self.special() + self.words.len()
    }

    /// All words in the order of their numbers, mask and unknown first.
    pub fn get_vocabulary(&self) -> Vec<&str> {
        self.mask_token.iter().chain(&self.oov_token).chain(&self.words).map(String::as_str).collect()
    }

    /// The numbers of words, `i32` of shape `[n]`.
    ///
    /// # Errors
    /// No vocabulary yet, or an unknown word where there is no number for those.
    #[track_caller]
    pub fn lookup(&self, words: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Array> {
        if self.words.is_empty() {
            return Err(Error::parts(
                Kind::State,
                "A `StringLookup` has no words",
                "a lookup",
                "a vocabulary",
                "Call `adapt` or `vocabulary` first",
            ));
        }
        let unknown = self.oov_token.as_ref().map(|_| usize::from(self.mask_token.is_some()));
        let number = |word: &str| match (self.places.get(word), unknown) {
            _ if self.mask_token.as_deref() == Some(word) => Ok(0),
            (Some(place), _) => Ok((self.special() + place) as i32),
            (None, Some(unknown)) => Ok(unknown as i32),
            (None, None) => Err(Error::parts(
                Kind::Argument,
                "A word is not in the vocabulary",
                &format!("{word:?}"),
                &format!("one of {} known words", self.words.len()),
                "Set an `oov_token`, or `adapt` to all words",
            )),
        };
        let numbers = words.into_iter().map(|word| number(word.as_ref())).collect::<Result<Vec<i32>>>()?;
        Array::from_slice(&numbers, numbers.len())
    }

    /// The words of numbers, of whatever shape, in a row: Keras's `invert`. Of numbers that no word has, that for unknown ones,
    /// or `""` where there is none.
    pub fn words(&self, numbers: &Array) -> Vec<&str> {
        let all = self.get_vocabulary();
        let unknown = self.oov_token.as_deref().unwrap_or_default();
        let word = |number: f64| match number {
            n if n >= 0.0 && n < all.len() as f64 => all[n as usize],
            _ => unknown,
        };
        numbers.to_f64_vec().into_iter().map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 9] = ["b", "a", "c", "a", "d", "b", "e", "é", "Z"];

    fn adapted(mut lookup: StringLookup) -> StringLookup {
        lookup.adapt(WORDS).unwrap();
        lookup
    }

    /// What Keras 3.15 finds and gives.
    #[test]
    fn words_have_the_numbers_of_keras() {
        let asked = ["a", "q", "", "b", "[UNK]"];
        let numbers = |lookup: &StringLookup| lookup.lookup(asked).unwrap().to_vec::<i32>().unwrap();
        let plain = adapted(StringLookup::new());
        assert_eq!(plain.get_vocabulary(), ["[UNK]", "b", "a", "é", "e", "d", "c", "Z"]);
        assert_eq!((numbers(&plain), plain.vocabulary_size()), (vec![2, 0, 0, 1, 0], 8));
        let masked = adapted(StringLookup::new().mask_token(""));
        assert_eq!((numbers(&masked), masked.vocabulary_size()), (vec![3, 1, 0, 2, 1], 9));
        let few = adapted(StringLookup::new().max_tokens(4).mask_token(""));
        assert_eq!(few.get_vocabulary(), ["", "[UNK]", "b", "a"]);
        let strict = adapted(StringLookup::new().oov_token(None));
        assert_eq!(strict.lookup(["a"]).unwrap().to_vec::<i32>().unwrap(), [1]);
        assert!(strict.lookup(asked).unwrap_err().to_string().contains("\"q\""));
        for whole in [&plain, &masked, &strict] {
            let like = StringLookup { words: Vec::new(), ..(*whole).clone() };
            let again = like.vocabulary(whole.get_vocabulary()).unwrap();
            assert_eq!(again.get_vocabulary(), whole.get_vocabulary());
        }

        let given = StringLookup::new().mask_token("m").vocabulary(["x", "y"]).unwrap();
        assert_eq!(given.words(&Array::new([0, 1, 2, 3, 7, -1]).unwrap()), ["m", "[UNK]", "x", "y", "[UNK]", "[UNK]"]);
        assert_eq!(given.words(&Array::new([f32::NAN]).unwrap()), ["[UNK]"]);
    }

    #[test]
    fn vocabularies_that_are_none_are_errors() {
        let of = |words: &[&str]| StringLookup::new().max_tokens(3).vocabulary(words.iter().copied());
        for wrong in [&["x", "x"][..], &[], &["x", "y", "z"], &["x", "[UNK]"], &["[UNK]"]] {
            assert!(of(wrong).unwrap_err().is_invalid_argument(), "{wrong:?}");
        }
        assert!(StringLookup::new().lookup(["a"]).unwrap_err().is_invalid_state());
        assert!(StringLookup::new().adapt([""; 0]).unwrap_err().is_invalid_argument());
        assert!(StringLookup::new().adapt(["[UNK]"]).unwrap_err().is_invalid_argument());
    }
}
