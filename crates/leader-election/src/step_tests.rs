use super::*;
use crate::record::LeaseRecord;

const ME: &str = "me";

struct Clock(Instant);

impl Clock {
    fn after(&self, seconds: f64) -> Instant {
        self.0 + Duration::from_secs_f64(seconds)
    }
}

fn start() -> (Candidate, Clock) {
    (Candidate::new(ME, Timing::default()), Clock(Instant::now()))
}

fn held(by: Option<&str>, version: u32, renewed: i64) -> Observed {
    Observed {
        version: Version {
            uid: "u".into(),
            resource_version: version.to_string(),
        },
        record: LeaseRecord {
            holder: by.map(Into::into),
            duration: Duration::from_secs(15),
            transitions: 4,
            acquired: None,
            renewed: jiff::Timestamp::from_second(renewed).ok(),
        },
    }
}

fn read(observed: Observed) -> Input {
    Input::Read(Some(observed))
}

#[track_caller]
fn written(command: Command) -> (Option<Version>, Claim) {
    match command {
        Command::Write { over, claim } => (over, claim),
        other => panic!("expected a write, got {other:?}"),
    }
}

fn lead(candidate: &mut Candidate, clock: &Clock) {
    assert_eq!(step(candidate, Input::Wake, clock.0), Command::Read);
    written(step(candidate, read(held(None, 1, 0)), clock.0));
    assert_eq!(
        step(candidate, Input::Written(held(Some(ME), 2, 1)), clock.after(1.0)),
        Command::Wait(clock.after(3.0))
    );
}

#[test]
fn a_missing_lease_is_created() {
    let (mut candidate, clock) = start();
    let (over, claim) = written(step(&mut candidate, Input::Read(None), clock.0));
    assert_eq!(over, None);
    assert_eq!(
        (claim.holder.as_deref(), claim.transitions, claim.new_term),
        (Some(ME), 0, true)
    );
}

#[test]
fn a_term_counts_from_the_moment_the_write_was_sent() {
    let (mut candidate, clock) = start();
    lead(&mut candidate, &clock);
    assert_eq!(
        candidate.until(),
        Some(clock.after(10.0)),
        "sent at 0, answered at 1"
    );
}

#[test]
fn a_leader_renews_without_reading_first() {
    let (mut candidate, clock) = start();
    lead(&mut candidate, &clock);
    let (over, claim) = written(step(&mut candidate, Input::Wake, clock.after(3.0)));
    assert_eq!(over.map(|version| version.resource_version).as_deref(), Some("2"));
    assert_eq!(
        (claim.transitions, claim.new_term),
        (4, false),
        "a renewal is no transition"
    );
}

#[test]
fn a_held_lease_is_left_alone_until_nothing_changed_for_its_duration() {
    let (mut candidate, clock) = start();
    assert_eq!(
        step(&mut candidate, read(held(Some("x"), 1, 0)), clock.0),
        Command::Wait(clock.after(2.0))
    );
    assert!(matches!(
        step(&mut candidate, read(held(Some("x"), 1, 0)), clock.after(14.9)),
        Command::Wait(_)
    ));
    let (over, claim) = written(step(
        &mut candidate,
        read(held(Some("x"), 1, 0)),
        clock.after(15.0),
    ));
    assert_eq!(over.map(|version| version.resource_version).as_deref(), Some("1"));
    assert_eq!((claim.transitions, claim.new_term), (5, true));
}

#[test]
fn a_renewal_starts_the_wait_again_whatever_wall_time_it_shows() {
    let (mut candidate, clock) = start();
    step(&mut candidate, read(held(Some("x"), 1, 1_000)), clock.0);
    // The holder's clock was set back by an hour: still a sign of life.
    step(
        &mut candidate,
        read(held(Some("x"), 2, -2_600)),
        clock.after(14.0),
    );
    assert!(matches!(
        step(
            &mut candidate,
            read(held(Some("x"), 2, -2_600)),
            clock.after(28.9)
        ),
        Command::Wait(_)
    ));
    written(step(
        &mut candidate,
        read(held(Some("x"), 2, -2_600)),
        clock.after(29.0),
    ));
}

#[test]
fn somebody_touching_the_labels_of_a_dead_lease_does_not_keep_it_held() {
    let (mut candidate, clock) = start();
    step(&mut candidate, read(held(Some("x"), 1, 0)), clock.0);
    step(&mut candidate, read(held(Some("x"), 2, 0)), clock.after(14.0));
    let (over, _) = written(step(
        &mut candidate,
        read(held(Some("x"), 3, 0)),
        clock.after(15.0),
    ));
    assert_eq!(
        over.map(|version| version.resource_version).as_deref(),
        Some("3"),
        "the write names the newest version"
    );
}

#[test]
fn the_holders_own_duration_counts() {
    let (mut candidate, clock) = start();
    let mut slow = held(Some("x"), 1, 0);
    slow.record.duration = Duration::from_secs(40);
    step(&mut candidate, read(slow.clone()), clock.0);
    assert!(matches!(
        step(&mut candidate, read(slow.clone()), clock.after(39.0)),
        Command::Wait(_)
    ));
    written(step(&mut candidate, read(slow), clock.after(40.0)));
}

#[test]
fn a_free_lease_is_taken_at_once() {
    let (mut candidate, clock) = start();
    step(&mut candidate, read(held(Some("x"), 1, 0)), clock.0);
    written(step(&mut candidate, read(held(None, 2, 0)), clock.after(0.1)));
}

#[test]
fn a_restarted_process_takes_its_own_lease_back_at_once_but_leads_only_when_confirmed() {
    let (mut candidate, clock) = start();
    written(step(&mut candidate, read(held(Some(ME), 7, 0)), clock.0));
    assert_eq!(candidate.until(), None);
}

#[test]
fn a_candidate_whose_requests_fail_asks_again_soon() {
    let (mut candidate, clock) = start();
    assert_eq!(step(&mut candidate, Input::Wake, clock.after(0.0)), Command::Read);
    assert_eq!(
        step(&mut candidate, Input::Failed, clock.after(1.0)),
        Command::Wait(clock.after(1.5))
    );
}

#[test]
fn the_deadline_stops_a_leader_whatever_arrives() {
    for input in [
        Input::Wake,
        Input::Failed,
        Input::Refused,
        Input::Written(held(Some(ME), 3, 9)),
        read(held(Some(ME), 3, 9)),
    ] {
        let (mut candidate, clock) = start();
        lead(&mut candidate, &clock);
        step(&mut candidate, Input::Wake, clock.after(9.0));
        assert_eq!(
            step(&mut candidate, input, clock.after(10.0)),
            Command::Stop(Loss::Deadline)
        );
        assert_eq!(candidate.until(), None);
    }
}

#[test]
fn an_acquisition_confirmed_after_its_whole_term_is_asked_again() {
    let (mut candidate, clock) = start();
    written(step(&mut candidate, read(held(None, 1, 0)), clock.0));
    let (over, claim) = written(step(
        &mut candidate,
        Input::Written(held(Some(ME), 2, 0)),
        clock.after(10.0),
    ));
    assert_eq!(candidate.until(), None);
    assert_eq!(
        (
            over.map(|version| version.resource_version).as_deref(),
            claim.new_term
        ),
        (Some("2"), false)
    );
}

#[test]
fn a_lost_answer_is_settled_by_reading_and_writing_again() {
    let (mut candidate, clock) = start();
    lead(&mut candidate, &clock);
    written(step(&mut candidate, Input::Wake, clock.after(3.0)));
    assert_eq!(
        step(&mut candidate, Input::Failed, clock.after(6.0)),
        Command::Wait(clock.after(6.5))
    );
    assert_eq!(step(&mut candidate, Input::Wake, clock.after(6.5)), Command::Read);
    // The write had been applied after all. That alone prolongs nothing: its time of sending is forgotten on purpose.
    written(step(&mut candidate, read(held(Some(ME), 3, 3)), clock.after(7.0)));
    assert_eq!(candidate.until(), Some(clock.after(10.0)));
    step(
        &mut candidate,
        Input::Written(held(Some(ME), 4, 7)),
        clock.after(7.1),
    );
    assert_eq!(candidate.until(), Some(clock.after(17.0)));
}

#[test]
fn a_leader_that_reads_another_name_stops() {
    for (by, name) in [(Some("x"), "x"), (None, "")] {
        let (mut candidate, clock) = start();
        lead(&mut candidate, &clock);
        assert_eq!(
            step(&mut candidate, Input::Refused, clock.after(3.0)),
            Command::Read
        );
        let command = step(&mut candidate, read(held(by, 9, 3)), clock.after(3.1));
        assert_eq!(command, Command::Stop(Loss::TakenBy(name.into())));
    }
}

#[test]
fn a_leader_makes_a_deleted_lease_again() {
    let (mut candidate, clock) = start();
    lead(&mut candidate, &clock);
    step(&mut candidate, Input::Refused, clock.after(3.0));
    let (over, _) = written(step(&mut candidate, Input::Read(None), clock.after(3.1)));
    assert_eq!(over, None);
    assert_eq!(
        candidate.until(),
        Some(clock.after(10.0)),
        "the old term goes on until the new one is confirmed"
    );
}

#[test]
fn only_the_own_lease_is_released() {
    let (candidate, _) = start();
    assert_eq!(candidate.release(&held(Some("x"), 1, 0)), None);
    let claim = candidate.release(&held(Some(ME), 1, 0)).unwrap();
    assert_eq!((claim.holder, claim.transitions), (None, 4));
}

#[test]
fn jitter_only_shortens_and_never_below_sixty_percent() {
    let pause = Duration::from_secs(2);
    assert_eq!(jitter(pause, 0.0), Duration::from_millis(1200));
    assert_eq!(jitter(pause, 1.0), pause);
    assert_eq!(jitter(pause, 7.0), pause);
}
