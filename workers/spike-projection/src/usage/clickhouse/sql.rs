//! The statements, one operation per file. They must run on ClickHouse 18.16, which has no CTEs, window
//! functions or parameters.

use crate::store::columns::sql;

pub(super) const CREATE_TABLE: &str = sql!("clickhouse/usage/create_table");
pub(super) const KNOWN_HOURS: &str = sql!("clickhouse/usage/known_hours");
pub(super) const OF_ORGANIZATIONS: &str = sql!("clickhouse/usage/of_organizations");
pub(super) const PUT: &str = sql!("clickhouse/usage/put");
pub(super) const ALL_RUNNING: &str = sql!("clickhouse/queries/all");
pub(super) const KILL: &str = sql!("clickhouse/queries/kill");
pub(super) const FIND: &str = sql!("clickhouse/queries/find");
pub(super) const LOGGED_OF_JOBS: &str = sql!("clickhouse/queries/logged");
pub(super) const RUNNING: &str = sql!("clickhouse/queries/running");

pub(super) const SLOW_VIEW: &str = sql!("clickhouse/demo/slow_view");
pub(super) const DROP: &str = sql!("clickhouse/demo/drop");
pub(super) const RUNNING_ON: &str = sql!("clickhouse/demo/running");
pub(super) const FLUSH_LOG: &str = sql!("clickhouse/demo/flush_log");
pub(super) const LOGGED: &str = sql!("clickhouse/demo/logged");

#[cfg(test)]
pub(super) const ALL: [&str; 14] = [
    CREATE_TABLE,
    KNOWN_HOURS,
    OF_ORGANIZATIONS,
    PUT,
    ALL_RUNNING,
    KILL,
    FIND,
    RUNNING,
    LOGGED_OF_JOBS,
    SLOW_VIEW,
    DROP,
    RUNNING_ON,
    FLUSH_LOG,
    LOGGED,
];
