//! Whose slots a measurement takes, told by the store that would have given them.

use support::program::Place;
use support::{Result, ensure, servers};

#[test]
fn slots_that_are_split_are_taken_from_no_store() -> Result {
    let Some(shared) = servers::shared()? else { return Ok(()) };
    let place = Place::new()?;
    place.write("lockgate.toml", &shared.engine(&format!("bench_{:016x}", fastrand::u64(..)))?)?;
    let sizes = [
        "bench",
        "--jobs",
        "300",
        "--sleep",
        "2ms",
        "--slots",
        "5",
        "--processes",
        "2",
        "--concurrency",
        "9",
    ];
    let split = place.json(&[&sizes[..], &["--split-slots"]].concat())?;
    ensure!(
        split["succeeded"] == 300 && split["slots_split"] == true && split["hand_off"].is_null(),
        "{split}"
    );
    // Five in all, for as long as the run took: had each process all five, they would be held twice.
    ensure!(split["slots_held_percent"].as_f64().is_some_and(|held| 0.0 < held && held <= 100.1), "{split}");
    assert_eq!(peak(&place)?, Some(0));
    place.json(&sizes)?;
    assert_eq!(peak(&place)?, Some(5), "shared, all of them are taken at once");
    Ok(())
}

/// The most slots of the bench's pool that were ever taken at once.
fn peak(place: &Place) -> Result<Option<u64>> {
    let pools = place.json(&["slots", "show", "lockgate-bench"])?["pools"].take();
    Ok(pools[0]["peak"].as_u64())
}
