//! Plans by structure, so that what has been planned once is replayed.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::backend::Executable;
use crate::ir::step::Plan;

/// Plans by structure, least recently used out first.
#[derive(Default)]
pub(crate) struct PlanCache {
    plans: FxHashMap<Box<[u64]>, Cached>,
    clock: u64,
}

struct Cached {
    plan: Arc<Plan>,
    executable: Arc<dyn Executable>,
    used: u64,
}

/// How many plans a device remembers.
const MAX_PLANS: usize = 256;

impl PlanCache {
    /// The plan of this structure, ready to run.
    pub(crate) fn get(&mut self, key: &[u64]) -> Option<Arc<dyn Executable>> {
        self.clock += 1;
        let hit = self.plans.get_mut(key)?;
        hit.used = self.clock;
        Some(hit.executable.clone())
    }

    /// Remembers a plan, instead of the one not used for longest where there are many.
    pub(crate) fn insert(&mut self, key: Box<[u64]>, plan: Arc<Plan>, executable: Arc<dyn Executable>) {
        if self.plans.len() >= MAX_PLANS
            && let Some(oldest) = self.plans.iter().min_by_key(|(_, c)| c.used).map(|(k, _)| k.clone())
        {
            self.plans.remove(&oldest);
        }
        self.plans.insert(key, Cached { plan, executable, used: self.clock });
    }

    /// The plan used last, and its kernels' sources.
    pub(crate) fn last(&self) -> Option<(Arc<Plan>, Arc<dyn Executable>)> {
        let newest = self.plans.values().max_by_key(|c| c.used)?;
        Some((newest.plan.clone(), newest.executable.clone()))
    }
}
