//! Keeps the heads of the wait queues up to date, as [`fairness::next`] needs them.

use lockgate_core::Tenant;
use lockgate_core::fairness::{self, QueueHead, TenantUse};

use super::{WaitQueues, Waiter};

impl WaitQueues {
    /// Returns the position of the queue whose head is granted next.
    pub(super) fn next(&self) -> Option<usize> {
        fairness::next(&self.heads, &self.room).and_then(|next| self.head_queues.get(next).copied())
    }

    /// Removes the head of a queue and books the slots that it needs.
    pub(super) fn pop_head(&mut self, index: usize) -> Option<Waiter> {
        let queue = self.queues.get_mut(index)?;
        let waiter = queue.waiting.pop_front()?;
        for need in &waiter.needs {
            if let Some(room) = self.room.get_mut(&need.pool) {
                *room = room.saturating_sub(need.weight);
            }
            let used = self.used.entry((need.pool.clone(), queue.key.tenant.clone())).or_default();
            *used = used.saturating_add(need.weight);
        }
        Some(waiter)
    }

    /// Updates the heads of all queues of a tenant after a grant, which changes their rank.
    pub(super) fn refresh_heads(&mut self, index: usize) {
        let Some(tenant) = self.queues.get(index).map(|queue| queue.key.tenant.clone()) else { return };
        let of_tenant =
            |index: &usize| self.queues.get(*index).is_some_and(|queue| queue.key.tenant == tenant);
        let mut indexes: Vec<usize> = self.head_queues.iter().copied().filter(of_tenant).collect();
        indexes.push(index);
        for index in indexes {
            self.refresh_head(index);
        }
    }

    /// Updates the head of one queue.
    pub(super) fn refresh_head(&mut self, index: usize) {
        let head = self
            .queues
            .get(index)
            .and_then(|queue| queue.waiting.front().map(|first| self.contender(first, &queue.key.tenant)));
        let known = self.head_queues.iter().position(|known| *known == index);
        match (known, head) {
            (Some(known), Some(head)) => {
                if let Some(stale) = self.heads.get_mut(known) {
                    *stale = head;
                }
            }
            (Some(known), None) => {
                self.heads.swap_remove(known);
                self.head_queues.swap_remove(known);
            }
            (None, Some(head)) => {
                self.heads.push(head);
                self.head_queues.push(index);
            }
            (None, None) => {}
        }
    }

    fn contender(&self, waiter: &Waiter, tenant: &Tenant) -> QueueHead {
        let uses = waiter.needs.iter().map(|need| {
            let key = (need.pool.clone(), tenant.clone());
            TenantUse {
                used: self.used.get(&key).copied().unwrap_or(0),
                cap: self.cap(&need.pool, tenant),
                weight: self.shares.get(&key).map_or(1, |share| share.weight),
            }
        });
        QueueHead { ticket: waiter.ticket, needs: waiter.needs.clone(), tenant: uses.collect() }
    }
}
