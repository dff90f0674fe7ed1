//! The chains of calls that a thread is in, each with what is kept for its length.

/// Which conversation: the session's address and the chain.
pub(crate) type Key = (usize, u64);

/// There is seldom more than one, so nothing is gained by a map.
pub(crate) struct Chains<T> {
    open: Vec<Chain<T>>,
    /// What was kept for one that has ended, and is empty again: the next one needs no memory of its own.
    spare: Option<Box<T>>,
}

struct Chain<T> {
    key: Key,
    /// How many calls of the chain this thread is in.
    depth: usize,
    /// None as long as there is nothing to keep: most chains end so.
    kept: Option<Box<T>>,
}

impl<T: Default> Chains<T> {
    pub(crate) const fn new() -> Self {
        Self { open: Vec::new(), spare: None }
    }

    /// One call of this chain more.
    pub(crate) fn enter(&mut self, key: Key) {
        self.chain(key).depth += 1;
    }

    /// One call less; what was kept for the chain, if that was the last one.
    pub(crate) fn leave(&mut self, key: Key) -> Option<Box<T>> {
        let place = self.open.iter().rposition(|chain| chain.key == key)?;
        self.open[place].depth -= 1;
        if self.open[place].depth == 0 { self.open.swap_remove(place).kept } else { None }
    }

    pub(crate) fn depth(&self, key: Key) -> usize {
        self.open.iter().rfind(|chain| chain.key == key).map_or(0, |chain| chain.depth)
    }

    /// What is kept for a chain, if there is anything.
    pub(crate) fn get(&self, key: &Key) -> Option<&T> {
        self.open.iter().rfind(|chain| chain.key == *key)?.kept.as_deref()
    }

    /// What is kept for a chain, to add to it.
    pub(crate) fn find(&mut self, key: Key) -> &mut T {
        let place = self.place(key);
        self.open[place].kept.get_or_insert_with(|| self.spare.take().unwrap_or_default())
    }

    /// This is empty, and for the next chain that has something to keep.
    pub(crate) fn use_again(&mut self, empty: Box<T>) {
        self.spare = Some(empty);
    }

    /// Keep what was kept for the chain elsewhere.
    pub(crate) fn put(&mut self, key: Key, kept: Option<Box<T>>) {
        self.chain(key).kept = kept;
    }

    fn chain(&mut self, key: Key) -> &mut Chain<T> {
        let place = self.place(key);
        &mut self.open[place]
    }

    fn place(&mut self, key: Key) -> usize {
        self.open.iter().rposition(|chain| chain.key == key).unwrap_or_else(|| {
            self.open.push(Chain { key, depth: 0, kept: None });
            self.open.len() - 1
        })
    }
}
