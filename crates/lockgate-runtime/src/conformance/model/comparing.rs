//! What the store shows, and what it has on record, against the model.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::slots::{PoolQuery, PoolView};
use lockgate_core::{Fence, LeaseId, PoolName};

use super::super::slots::history::audited;
use super::driver::Driver;

impl Driver<'_> {
    /// What the store shows is what the model has, and what the invariants allow.
    pub(super) async fn compare(&mut self) -> Result<(), String> {
        let mut shown_fences = BTreeMap::new();
        for (name, slots) in self.truth.pools.clone() {
            let views = self.engine.slots.inspect(&PoolQuery::of(&name)).await.unwrap();
            let [PoolView { status, holders, stranded, .. }] = views.as_slice() else {
                return Err(format!("{name} is gone"));
            };
            let shown: BTreeSet<(LeaseId, u32, bool)> =
                holders.iter().map(|holder| (holder.lease, holder.weight, holder.draining)).collect();
            same("the holders", &shown, &self.holders(&name))?;
            same("slots in use", &status.in_use(), &self.truth.in_use(&name))?;
            let waiters =
                self.truth.queue.iter().filter(|e| e.request.needs.iter().any(|n| n.pool == name)).count();
            same("the queue length", &usize::try_from(status.waiters).unwrap(), &waiters)?;
            same("the stranded waiters", &usize::try_from(*stranded).unwrap(), &self.truth.stranded(&name))?;
            same("the slots", &status.slots, &slots)?;
            same("the limit", &status.limit(), &self.truth.limit(&name))?;
            same("whether it is paused", &status.paused.is_some(), &self.truth.paused.contains(&name))?;
            same("whether it recovers", &status.recovering.is_some(), &self.truth.recovering)?;
            if status.peak < status.in_use() {
                return Err(format!("a peak below what is in use: {status:?}"));
            }
            shown_fences.extend(holders.iter().map(|holder| (holder.lease, holder.fence)));
        }
        self.compare_fences(&shown_fences)?;
        match self.truth.next().filter(|_| !self.truth.recovering) {
            Some(place) => Err(format!("it may have slots, and waits: {:?}", self.truth.queue[place])),
            None => Ok(()),
        }
    }

    /// The record tells the peak that the store has counted, and no grant above a limit.
    pub(super) async fn audit(&self) -> Result<(), String> {
        for (name, _) in &self.truth.pools {
            let seen = audited(&self.engine, name.as_str()).await;
            let views = self.engine.slots.inspect(&PoolQuery::of(name)).await.unwrap();
            same("the peak on record", &Some(seen.peak), &views.first().map(|view| view.status.peak))?;
            if !seen.is_kept() {
                return Err(format!("{name} was above its limit: {seen:?}"));
            }
        }
        Ok(())
    }

    fn holders(&self, name: &PoolName) -> BTreeSet<(LeaseId, u32, bool)> {
        let needs = self
            .truth
            .held
            .iter()
            .flat_map(|entry| entry.request.needs.iter().map(move |need| (entry, need)));
        needs
            .filter(|(_, need)| need.pool == *name)
            .map(|(entry, need)| (entry.request.lease, need.weight, entry.draining))
            .collect()
    }

    /// New fences are above all that were ever seen, each another, and told as they are shown.
    fn compare_fences(&mut self, shown: &BTreeMap<LeaseId, Fence>) -> Result<(), String> {
        let grown: BTreeMap<LeaseId, Fence> = shown
            .iter()
            .filter(|(lease, fence)| self.fences.get(lease) != Some(*fence))
            .map(|(lease, fence)| (*lease, *fence))
            .collect();
        let distinct: BTreeSet<Fence> = grown.values().copied().collect();
        if distinct.len() != grown.len() || distinct.first().is_some_and(|least| *least <= self.highest) {
            return Err(format!("fences that did not grow: {distinct:?} after {}", self.highest));
        }
        self.highest = distinct.last().copied().unwrap_or(self.highest);
        self.fences.extend(grown);
        match self.told.drain(..).find(|lease| shown.get(&lease.id()) != Some(&lease.fence)) {
            Some(lease) => Err(format!("a process received {lease:?}, which the store does not show")),
            None => Ok(()),
        }
    }
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, engine: &T, model: &T) -> Result<(), String> {
    if engine == model {
        return Ok(());
    }
    Err(format!("{what}: the engine says {engine:?}, the model {model:?}"))
}
