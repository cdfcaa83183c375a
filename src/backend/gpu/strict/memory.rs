//! Memory that remembers who touched each word since the last barrier.

use rustc_hash::FxHashMap;

/// A place where buffers or the variables of a work-group are, in words.
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) name: String,
    words: Vec<Word>,
    /// Words that one invocation writes and others read, with no barrier between: by word and when it is read, who writes it.
    /// They are let pass in buffers: nobody may use what is read there.
    contested: FxHashMap<(usize, When), Mark>,
    /// What the first of them is.
    race: Option<String>,
    lenient: bool,
    /// What those others get instead.
    hostile: Option<u32>,
}

/// Between two barriers of a work-group, or, by other work-groups than the writer's, at any time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum When {
    Between(u32, u32),
    Ever,
}

#[derive(Clone, Copy)]
struct Word {
    value: u32,
    /// Whether anything was ever written there.
    known: bool,
    written: Mark,
    read: Mark,
}

/// Who was there last: a lane of a work-group, between two of its barriers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) group: u32,
    pub(super) epoch: u32,
    pub(super) lane: u32,
}

/// What may be where nobody wrote.
const NONSENSE: u32 = 0x7fc0_dead;

const NOBODY: u32 = u32::MAX;
const SEVERAL: u32 = u32::MAX - 1;
/// In place of a lane: whoever it was, atomically.
const ATOMICALLY: u32 = u32::MAX - 2;
const FREE: Mark = Mark { group: NOBODY, epoch: 0, lane: NOBODY };

impl Mark {
    /// Whether what was done then has happened before what `now` does, or is its own.
    fn is_before(self, now: Mark) -> bool {
        self.group == NOBODY || (self.group == now.group && (self.epoch != now.epoch || self.lane == now.lane))
    }

    /// Both of them, of which one may have been the same.
    fn and(self, now: Mark) -> Mark {
        match self {
            Mark { group: NOBODY, .. } => now,
            Mark { group, .. } if group != now.group => Mark { group: SEVERAL, ..now },
            Mark { epoch, lane, .. } if epoch == now.epoch && lane != now.lane => Mark { lane: SEVERAL, ..now },
            _ => now,
        }
    }

    fn text(self) -> String {
        let lane = match self.lane {
            SEVERAL => "several invocations".into(),
            ATOMICALLY => "atomic operations".into(),
            lane => format!("invocation {lane}"),
        };
        let group =
            if self.group == SEVERAL { "several work-groups".into() } else { format!("work-group {}", self.group) };
        format!("{lane} of {group}")
    }
}

impl Memory {
    /// So many words of which nothing is known.
    pub(super) fn unknown(name: impl Into<String>, len: usize) -> Self {
        let word = Word { value: NONSENSE, known: false, written: FREE, read: FREE };
        let contested = FxHashMap::default();
        Memory { name: name.into(), words: vec![word; len], contested, race: None, lenient: false, hostile: None }
    }

    pub(super) fn of(name: impl Into<String>, values: &[u32]) -> Self {
        let mut memory = Memory::unknown(name, values.len());
        for (word, &value) in memory.words.iter_mut().zip(values) {
            *word = Word { value, known: true, ..*word };
        }
        memory
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The first word that nobody wrote.
    pub(super) fn gap(&self) -> Option<usize> {
        self.words.iter().position(|w| !w.known)
    }

    pub(super) fn values(&self) -> Vec<u32> {
        self.words.iter().map(|w| w.value).collect()
    }

    /// Between two dispatches everything waits.
    pub(super) fn settle(&mut self) {
        self.words.iter_mut().for_each(|w| (w.written, w.read) = (FREE, FREE));
        self.contested.clear();
        (self.race, self.lenient, self.hostile) = (None, true, None);
    }

    /// The first race that was let pass.
    pub(super) fn race(&self) -> Option<&str> {
        self.race.as_deref()
    }

    /// This memory as it was before, to run again what is contested in it afterwards.
    pub(super) fn make_hostile(&mut self, after: &Memory, instead: u32) {
        self.contested.clone_from(&after.contested);
        self.hostile = Some(instead);
    }

    /// A word that `writer` writes and `reader` reads.
    fn contest(&mut self, at: usize, writer: Mark, reader: Mark, text: String) -> Result<(), String> {
        if !self.lenient || writer.lane == ATOMICALLY {
            return Err(text);
        }
        if [writer.group, SEVERAL].contains(&reader.group) {
            self.contested.insert((at, When::Between(writer.group, reader.epoch)), writer);
        }
        if writer.group != reader.group {
            self.contested.insert((at, When::Ever), writer);
        }
        self.race.get_or_insert(text);
        Ok(())
    }

    /// Whether what is read may be what somebody else is writing just then.
    fn is_spoiled(&self, at: usize, now: Mark) -> bool {
        let writer = |when| self.contested.get(&(at, when));
        writer(When::Between(now.group, now.epoch)).is_some_and(|w| w.lane != now.lane)
            || writer(When::Ever).is_some_and(|w| w.group != now.group)
    }

    fn met(&self, at: usize, what: &str, now: Mark, other: Mark, did: &str) -> String {
        format!(
            "{} {what} `{}` at word {at}, which {} {did}, with no barrier between",
            now.text(),
            self.name,
            other.text()
        )
    }

    pub(super) fn read(&mut self, at: usize, now: Mark) -> Result<u32, String> {
        let Some(&Word { value, known, written, read }) = self.words.get(at) else {
            return Err(format!("{} reads `{}` at word {at} of {}", now.text(), self.name, self.words.len()));
        };
        if !known {
            return Err(format!("{} reads `{}` at word {at}, which nobody wrote", now.text(), self.name));
        }
        if !written.is_before(now) {
            self.contest(at, written, now, self.met(at, "reads", now, written, "wrote"))?;
        }
        self.words[at].read = read.and(now);
        Ok(self.hostile.filter(|_| self.is_spoiled(at, now)).unwrap_or(value))
    }

    pub(super) fn write(&mut self, at: usize, value: u32, now: Mark) -> Result<(), String> {
        let Some(&Word { written, read, .. }) = self.words.get(at) else {
            return Err(format!("{} writes `{}` at word {at} of {}", now.text(), self.name, self.words.len()));
        };
        if !written.is_before(now) {
            return Err(self.met(at, "writes", now, written, "wrote"));
        }
        if !read.is_before(now) {
            self.contest(at, now, read, self.met(at, "writes", now, read, "read"))?;
        }
        self.words[at] = Word { value, known: true, written: now, read: FREE };
        Ok(())
    }

    /// Replaces a word by what `f` makes of it, of what is not known too: half of a word may be all that matters. Gives what
    /// was there.
    pub(super) fn change(&mut self, at: usize, f: impl FnOnce(u32) -> u32, now: Mark) -> Result<u32, String> {
        let now = Mark { lane: ATOMICALLY, ..now };
        let Some(&Word { value, written, read, .. }) = self.words.get(at) else {
            return Err(format!("{} changes `{}` at word {at} of {}", now.text(), self.name, self.words.len()));
        };
        if written.lane != ATOMICALLY && !written.is_before(now) {
            return Err(self.met(at, "changes", now, written, "wrote"));
        }
        if !read.is_before(now) {
            return Err(self.met(at, "changes", now, read, "read"));
        }
        let group = if written.lane == ATOMICALLY && written.group != now.group { SEVERAL } else { now.group };
        self.words[at] = Word { value: f(value), known: true, written: Mark { group, ..now }, read };
        Ok(value)
    }
}
