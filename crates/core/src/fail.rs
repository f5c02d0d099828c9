//! Faults on demand, for the tests of what happens when the system, the runtime or the isolate refuses.
//!
//! Only a build with `--cfg gneiss_probe` has them, and the unit tests; in every other one `strikes` is a constant
//! and leaves nothing behind. `GNEISS_FAIL=NAME:N` has the N-th pass of the point NAME fail, `GNEISS_FAIL=NAME:N+`
//! that one and all that follow. A unit test says the same of its own thread with `plan`.

/// Whether the point `name` is to fail this time.
#[cfg(not(any(test, gneiss_probe)))]
#[must_use]
pub const fn strikes(_name: &str) -> bool {
    false
}

#[cfg(all(gneiss_probe, not(test)))]
pub use probe::{passes, strikes};

#[cfg(test)]
pub use of_thread::strikes;
#[cfg(test)]
pub(crate) use of_thread::{has_struck, passes, plan};

/// Tests run beside each other, each on a thread of its own.
#[cfg(test)]
mod of_thread {
    use std::cell::Cell;

    thread_local! {
        static PLAN: Cell<(&'static str, u64, u64)> = const { Cell::new(("", 0, 0)) };
    }

    /// Has the `number`-th pass of the point `name` fail on this thread, counted from now on; none if it is 0.
    pub(crate) fn plan(name: &'static str, number: u64) {
        PLAN.set((name, number, 0));
    }

    /// How often the point of the plan was passed, failing or not.
    pub(crate) fn passes() -> u64 {
        PLAN.get().2
    }

    /// Whether the fault that was planned has happened.
    pub(crate) fn has_struck() -> bool {
        let (_, number, passes) = PLAN.get();
        number > 0 && passes >= number
    }

    /// Whether the point `name` is to fail this time.
    #[must_use]
    pub fn strikes(name: &str) -> bool {
        let (planned, number, passes) = PLAN.get();
        if planned != name {
            return false;
        }
        let pass = passes.saturating_add(1);
        PLAN.set((planned, number, pass));
        pass == number
    }
}

#[cfg(all(gneiss_probe, not(test)))]
mod probe {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// What the environment has asked for.
    struct Plan {
        name: String,
        number: u64,
        goes_on: bool,
    }

    static PASSES: AtomicU64 = AtomicU64::new(0);

    /// Whether the point `name` is to fail this time.
    #[must_use]
    pub fn strikes(name: &str) -> bool {
        let Some(plan) = plan().filter(|plan| plan.name == name) else {
            return false;
        };
        let pass = PASSES.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        pass == plan.number || (plan.goes_on && pass > plan.number)
    }

    /// How often the point of the plan was passed, failing or not.
    #[must_use]
    pub fn passes() -> u64 {
        PASSES.load(Ordering::Relaxed)
    }

    fn plan() -> Option<&'static Plan> {
        static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
        PLAN.get_or_init(|| {
            let text = std::env::var("GNEISS_FAIL").ok()?;
            let (name, number) = text.split_once(':')?;
            let goes_on = number.ends_with('+');
            Some(Plan {
                name: name.to_owned(),
                number: number.trim_end_matches('+').parse().ok()?,
                goes_on,
            })
        })
        .as_ref()
    }
}
