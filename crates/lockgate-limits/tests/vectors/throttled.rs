//! The GCRA table of throttled's tests.

use super::*;

#[test]
fn gcra_table() {
    // Moment, volume; remaining, reset, retry; limited. Times in milliseconds.
    type Row = (u64, u32, u64, u64, Option<u64>, bool);
    let table: [Row; 15] = [
        (0, 6, 5, 0, None, true),
        (0, 1, 4, 1_000, None, false),
        (0, 1, 3, 2_000, None, false),
        (0, 1, 2, 3_000, None, false),
        (0, 1, 1, 4_000, None, false),
        (0, 1, 0, 5_000, None, false),
        (0, 1, 0, 5_000, Some(1_000), true),
        (3_000, 1, 2, 3_000, None, false),
        (3_100, 1, 1, 3_900, None, false),
        (4_000, 1, 1, 4_000, None, false),
        (8_000, 1, 4, 1_000, None, false),
        (9_500, 1, 4, 1_000, None, false),
        (9_500, 0, 4, 1_000, None, false),
        (9_500, 2, 2, 3_000, None, false),
        (9_500, 5, 2, 3_000, Some(3_000), true),
    ];
    let (bucket, start) = bucket(1, 5);
    for (row, (at, volume, remaining, reset, retry, limited)) in table.into_iter().enumerate() {
        let now = start + Duration::from_millis(at);
        let result = bucket.try_acquire_at(volume, now);
        assert_eq!(result.is_err(), limited, "row {row}");
        assert_eq!(result.err().and_then(|d| d.retry_after()), retry.map(Duration::from_millis), "row {row}");
        let status = bucket.status_at(now);
        assert_eq!((status.burst, status.remaining), (5, remaining), "row {row}");
        assert_eq!(status.reset_after, Duration::from_millis(reset), "row {row}");
    }
}
