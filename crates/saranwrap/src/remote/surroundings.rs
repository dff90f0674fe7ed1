//! What every kind of child can be started with: the methods that the builders have in common, written once.

/// In the `impl` of a builder with a `command` and `limits`.
macro_rules! surroundings {
    () => {
        /// Set an environment variable; all others are ours.
        pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
            self.command.set_env(name.into(), value.into());
            self
        }

        /// The directory that it starts in.
        pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
            self.command.cwd = Some(directory.into());
            self
        }

        /// What carries the frames.
        pub fn carrier(mut self, carrier: Carrier) -> Self {
            self.command.carrier = carrier;
            self
        }

        /// Where its output goes.
        pub fn says(mut self, says: Says) -> Self {
            self.command.says = says;
            self
        }

        /// How long each call may take; without this, for ever.  [`Proxy::with_timeout`](crate::Proxy::with_timeout) shortens it.
        pub fn timeout(mut self, limit: Duration) -> Self {
            self.limits.timeout = Some(limit);
            self
        }

        /// How long a call that took too long may go on after it was cancelled, and interrupted where the child can be, before its process
        /// is killed.  A second without this.
        pub fn grace(mut self, grace: Duration) -> Self {
            self.limits.grace = grace;
            self
        }
    };
}

pub(crate) use surroundings;
