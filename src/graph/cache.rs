//! Plans by structure, so that what has been planned once is replayed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use crate::backend::{Backend, Executable};
use crate::ir::step::Plan;

/// Plans by structure, least recently used out first.
#[derive(Default)]
pub(crate) struct PlanCache {
    plans: FxHashMap<Box<[u64]>, Arc<Cached>>,
    clock: u64,
}

/// A plan, ready to run.
pub(crate) struct Cached {
    pub(crate) plan: Arc<Plan>,
    pub(crate) executable: Arc<dyn Executable>,
    /// What runs when it is replayed.
    replayed: OnceLock<Arc<dyn Executable>>,
    /// When it was used last, by the cache's clock.
    used: AtomicU64,
}

impl Cached {
    /// What is run where the plan is replayed. If it can not be made, the other does.
    pub(crate) fn often(&self, backend: &dyn Backend) -> &Arc<dyn Executable> {
        let prepare = || {
            let _span = backend.spans().span("compile");
            backend.prepare_often(self.plan.clone())
        };
        self.replayed.get_or_init(|| match prepare() {
            Ok(Some(executable)) => Arc::from(executable),
            Ok(None) => self.executable.clone(),
            Err(error) => {
                log::warn!(target: "wgtensor::plan", "kernels are not joined: {error}");
                self.executable.clone()
            }
        })
    }

    /// The text of its kernels: of those that replays run, once there was one.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.replayed.get().unwrap_or(&self.executable).sources()
    }
}

/// How many plans a device remembers.
const MAX_PLANS: usize = 256;

impl PlanCache {
    /// The plan of this structure.
    pub(crate) fn get(&mut self, key: &[u64]) -> Option<Arc<Cached>> {
        let hit = self.plans.get(key)?.clone();
        self.use_again(&hit);
        Some(hit)
    }

    /// Notes that a plan is used.
    pub(crate) fn use_again(&mut self, cached: &Cached) {
        self.clock += 1;
        cached.used.store(self.clock, Relaxed);
    }

    /// Remembers a plan, instead of the one not used for longest where there are many.
    pub(crate) fn insert(&mut self, key: Box<[u64]>, plan: Arc<Plan>, executable: Arc<dyn Executable>) -> Arc<Cached> {
        if self.plans.len() >= MAX_PLANS
            && let Some(oldest) = self.plans.iter().min_by_key(|(_, c)| c.used.load(Relaxed)).map(|(k, _)| k.clone())
        {
            self.plans.remove(&oldest);
        }
        let cached = Arc::new(Cached { plan, executable, replayed: OnceLock::new(), used: AtomicU64::new(0) });
        self.use_again(&cached);
        self.plans.insert(key, cached.clone());
        cached
    }

    /// The plan used last.
    pub(crate) fn last(&self) -> Option<Arc<Cached>> {
        self.plans.values().max_by_key(|c| c.used.load(Relaxed)).cloned()
    }
}
