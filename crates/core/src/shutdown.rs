//! How far a server is on its way out: refuse new, finish, deadline.

/// States of a server, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Accepting and serving.
    Serving,
    /// Accepts nothing; open answers are finished until the time given, in milliseconds.
    Draining {
        /// What is open then is cut.
        until: u64,
    },
    /// The deadline has passed: everything was cut.
    Cut,
}

impl Shutdown {
    /// Begins to drain; a second call can only bring the deadline forward.
    pub fn begin(&mut self, until: u64) {
        *self = match *self {
            Self::Serving => Self::Draining { until },
            Self::Draining { until: earlier } => Self::Draining {
                until: earlier.min(until),
            },
            Self::Cut => Self::Cut,
        };
    }

    /// Whether connections are accepted.
    #[must_use]
    pub fn is_serving(self) -> bool {
        self == Self::Serving
    }

    /// True once, when the deadline has passed.
    pub fn expires(&mut self, now: u64) -> bool {
        match *self {
            Self::Draining { until } if until <= now => {
                *self = Self::Cut;
                true
            }
            _ => false,
        }
    }

    /// When to look again.
    #[must_use]
    pub fn deadline(self) -> Option<u64> {
        match self {
            Self::Draining { until } => Some(until),
            Self::Serving | Self::Cut => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_expires_once_and_a_second_call_only_hurries() {
        let mut shutdown = Shutdown::Serving;
        shutdown.begin(100);
        shutdown.begin(50);
        shutdown.begin(200);
        assert!(!shutdown.is_serving());
        assert_eq!(shutdown.deadline(), Some(50));
        assert!(!shutdown.expires(49));
        assert!(shutdown.expires(50));
        assert!(!shutdown.expires(51));
        assert_eq!(shutdown.deadline(), None);
    }
}
