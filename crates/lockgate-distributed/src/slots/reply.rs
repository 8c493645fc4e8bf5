//! Decodes replies of scripts. A reply that does not have the expected form is an error.

use std::time::Duration;

use lockgate_core::error::EngineError;
use lockgate_core::lease::{Lease, SlotRequest};
use lockgate_core::{Fence, LeaseId};
use redis::Value;

/// A reply, or a part of it, that is read from left to right.
pub(crate) struct Row {
    doing: &'static str,
    parts: std::vec::IntoIter<Value>,
}

pub(crate) fn unexpected(doing: &'static str, what: &str) -> EngineError {
    EngineError::Failed {
        doing: doing.to_owned(),
        source: format!(
            "unexpected reply of the slot store: {what}; is another version of lockgate running?"
        )
        .into(),
    }
}

pub(crate) fn list(doing: &'static str, value: Value) -> Result<Vec<Value>, EngineError> {
    match value {
        Value::Array(list) => Ok(list),
        // Lua may return an empty table as nil.
        Value::Nil => Ok(Vec::new()),
        other => Err(unexpected(doing, &format!("{other:?} instead of a list"))),
    }
}

pub(crate) fn rows(doing: &'static str, value: Value) -> Result<Vec<Row>, EngineError> {
    list(doing, value)?.into_iter().map(|value| row(doing, value)).collect()
}

pub(crate) fn row(doing: &'static str, value: Value) -> Result<Row, EngineError> {
    Ok(Row { doing, parts: list(doing, value)?.into_iter() })
}

pub(crate) fn fence(doing: &'static str, value: Value) -> Result<Fence, EngineError> {
    Row { doing, parts: vec![value].into_iter() }.fence()
}

/// Returns whether a script did nothing because the state is another server's.
pub(crate) fn is_identity(answer: &Value) -> bool {
    match answer {
        Value::Array(parts) => matches!(parts.as_slice(), [Value::BulkString(word)] if word == b"identity"),
        _ => false,
    }
}

impl Row {
    pub(crate) fn value(&mut self) -> Value {
        self.parts.next().unwrap_or(Value::Nil)
    }

    /// Returns all parts that were not read yet.
    pub(crate) fn rest(&mut self) -> impl Iterator<Item = Value> {
        self.parts.by_ref()
    }

    /// Returns whether parts are left.
    pub(crate) fn is_more(&self) -> bool {
        self.parts.len() > 0
    }

    /// Returns the next part without consuming it.
    pub(crate) fn peek(&self) -> Option<&Value> {
        self.parts.as_slice().first()
    }

    pub(crate) fn text(&mut self) -> Result<String, EngineError> {
        let value = self.value();
        redis::from_redis_value(value).map_err(|error| unexpected(self.doing, &error.to_string()))
    }

    pub(crate) fn integer(&mut self) -> Result<i64, EngineError> {
        match self.value() {
            Value::Int(number) => Ok(number),
            other => Err(unexpected(self.doing, &format!("{other:?} instead of a number"))),
        }
    }

    /// Reads a number that is not negative and fits `N`.
    pub(crate) fn number<N: TryFrom<i64>>(&mut self) -> Result<N, EngineError> {
        let number = self.integer()?;
        N::try_from(number).map_err(|_| unexpected(self.doing, &format!("the number {number}")))
    }

    /// Reads a number; `None` when it is negative.
    pub(crate) fn optional<N: TryFrom<i64>>(&mut self) -> Result<Option<N>, EngineError> {
        let number = self.integer()?;
        Ok(if number < 0 { None } else { N::try_from(number).ok() })
    }

    pub(crate) fn time(&mut self) -> Result<Duration, EngineError> {
        // The store's clock and the times it is compared with may differ by a step, so clamp at zero.
        Ok(Duration::from_millis(u64::try_from(self.integer()?).unwrap_or(0)))
    }

    pub(crate) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, EngineError> {
        let text = self.text()?;
        text.parse().map_err(|_| unexpected(self.doing, &format!("{text:?}")))
    }

    pub(crate) fn fence(&mut self) -> Result<Fence, EngineError> {
        self.number().map(Fence)
    }

    /// Reads a fence and a request.
    pub(crate) fn lease(&mut self) -> Result<Lease, EngineError> {
        let fence = self.fence()?;
        let request: SlotRequest = serde_json::from_str(&self.text()?)
            .map_err(|error| unexpected(self.doing, &error.to_string()))?;
        Ok(Lease { request, fence })
    }

    /// Reads a list of positions, counted from 1. Returns the leases of `named` at these positions.
    pub(crate) fn positions(&mut self, named: &[LeaseId]) -> Result<Vec<LeaseId>, EngineError> {
        let mut row = row(self.doing, self.value())?;
        let mut found = Vec::with_capacity(row.parts.len());
        while row.parts.len() > 0 {
            let place: usize = row.number()?;
            let id = place.checked_sub(1).and_then(|place| named.get(place));
            found.push(*id.ok_or_else(|| unexpected(self.doing, "a place out of range"))?);
        }
        Ok(found)
    }
}
