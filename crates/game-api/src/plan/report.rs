//! Whether a report says anything that the GameServer's status does not say yet.

use api_types::{Report, Reported, ReportedHealth, ReportedPlayers, ReportedState};
use jiff::{Timestamp, ToSpan as _};
use std::time::Duration;

/// Something a server said, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said<T> {
    pub value: T,
    /// When it was received; of two the later one counts, whichever replica has it.
    pub at: Timestamp,
    /// Its answer was given before it was stored. Until then another replica may have stored a later one, which then wins. A
    /// caller that still waits for its answer has said nothing later anywhere: it always wins.
    pub answered: bool,
}

impl<T> Said<T> {
    /// Said a moment ago, by somebody who waits for the answer.
    pub(crate) fn now(value: T, at: Timestamp) -> Self {
        Self {
            value,
            at,
            answered: false,
        }
    }
}

/// Players, as a server reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Players {
    pub count: u32,
    /// `None` leaves what was said before.
    pub capacity: Option<u32>,
}

/// State and health: `None` leaves what was said before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub state: Option<ReportedState>,
    /// With the reason, which goes when the next health comes without one.
    pub health: Option<(ReportedHealth, Option<String>)>,
}

/// What a server said that is not known to be stored. Empty it is a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub players: Option<Said<Players>>,
    pub condition: Option<Said<Condition>>,
}

impl News {
    /// Adds what was said later; where both say something, the later one counts.
    pub(crate) fn add(&mut self, later: Self) {
        if let Some(mut players) = later.players {
            if players.value.capacity.is_none() {
                players.value.capacity = self.players.as_ref().and_then(|said| said.value.capacity);
            }
            self.players = Some(players);
        }
        if let Some(mut condition) = later.condition {
            if let Some(earlier) = self.condition.take() {
                let value = &mut condition.value;
                value.state = value.state.take().or(earlier.value.state);
                value.health = value.health.take().or(earlier.value.health);
            }
            self.condition = Some(condition);
        }
    }

    /// From now on its caller does not wait any more.
    pub(crate) fn answered(&mut self) {
        if let Some(players) = &mut self.players {
            players.answered = true;
        }
        if let Some(condition) = &mut self.condition {
            condition.answered = true;
        }
    }
}

/// The form of all times that are written: equal widths, so that text compares as time does.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn parse(time: Option<&str>) -> Option<Timestamp> {
    time?.parse().ok()
}

/// The report to store for the Pod `pod_uid` instead of what is `stored`; `None` where it would say the same.
///
/// `heartbeat_every` is how often the time of the last heartbeat is renewed though nothing else changed; `None` for never. The
/// time of every change is later than that of the change before it, whatever the clocks of two replicas say.
pub(crate) fn next(
    stored: &Report,
    pod_uid: &str,
    news: &News,
    heartbeat_every: Option<Duration>,
    now: Timestamp,
) -> Option<Report> {
    let known = stored.of(pod_uid);
    let mut reported = known.cloned().unwrap_or_else(|| Reported {
        pod_uid: pod_uid.to_owned(),
        ..Reported::default()
    });
    let mut players = stored.players_of(pod_uid).cloned();
    let mut changed = false;
    let players_at = players.as_ref().and_then(|it| it.reported_at.clone());
    if let Some(said) = &news.players
        && let Some(at) = accepted(said, players_at.as_deref())
    {
        changed |= set_players(&mut players, said.value, at);
    }
    if let Some(said) = &news.condition
        && let Some(at) = accepted(said, reported.reported_at.as_deref())
    {
        changed |= set_condition(&mut reported, &said.value, at);
    }
    if !changed && !is_due(known, heartbeat_every, now) {
        return None;
    }
    reported.heartbeat_at = Some(rfc3339(now));
    Some(Report {
        players,
        reported: Some(Box::new(reported)),
    })
}

/// The time under which this is stored; `None` where something later is.
fn accepted<T>(said: &Said<T>, stored_at: Option<&str>) -> Option<Timestamp> {
    let Some(stored_at) = parse(stored_at) else {
        return Some(said.at);
    };
    if said.at > stored_at {
        return Some(said.at);
    }
    // The clock of whoever wrote it is ahead of ours. Times are cut to microseconds.
    let after = stored_at.checked_add(1.microsecond()).unwrap_or(stored_at);
    (!said.answered).then_some(after)
}

fn set_players(stored: &mut Option<ReportedPlayers>, said: Players, at: Timestamp) -> bool {
    let before = stored.as_ref();
    let players = ReportedPlayers {
        count: said.count,
        capacity: said.capacity.or(before.and_then(|it| it.capacity)),
        reported_at: Some(rfc3339(at)),
    };
    let same = before.is_some_and(|it| (it.count, it.capacity) == (players.count, players.capacity));
    if !same {
        *stored = Some(players);
    }
    !same
}

fn set_condition(reported: &mut Reported, said: &Condition, at: Timestamp) -> bool {
    let before = (
        reported.state.clone(),
        reported.health.clone(),
        reported.health_reason.clone(),
    );
    if let Some(state) = &said.state {
        reported.state = Some(state.clone());
    }
    if let Some((health, reason)) = &said.health {
        reported.health = Some(health.clone());
        reported.health_reason.clone_from(reason);
    }
    let same = before
        == (
            reported.state.clone(),
            reported.health.clone(),
            reported.health_reason.clone(),
        );
    if !same {
        reported.reported_at = Some(rfc3339(at));
    }
    !same
}

/// Whether the time of the last heartbeat is so old that it is renewed. One that cannot be read is, and one from the future,
/// which would keep a dead server alive.
fn is_due(known: Option<&Reported>, every: Option<Duration>, now: Timestamp) -> bool {
    let Some(every) = every else { return false };
    let last = known.and_then(|known| parse(known.heartbeat_at.as_deref()));
    let age = last.map(|last| now.duration_since(last));
    let every = jiff::SignedDuration::try_from(every).unwrap_or(jiff::SignedDuration::MAX);
    age.is_none_or(|age| age >= every || age <= -every)
}

/// How often heartbeats are renewed in a set with this heartbeat timeout: three times in it, so that one that is late and
/// one that is lost make no server unhealthy.
pub(crate) fn heartbeat_every(timeout_seconds: Option<u32>) -> Option<Duration> {
    let timeout = timeout_seconds.filter(|seconds| *seconds > 0)?;
    Some((Duration::from_secs(timeout.into()) / 3).max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn players(count: u32, second: i64, answered: bool) -> News {
        News {
            players: Some(Said {
                value: Players {
                    count,
                    capacity: None,
                },
                at: at(second),
                answered,
            }),
            condition: None,
        }
    }

    fn health(health: ReportedHealth, reason: Option<&str>, second: i64) -> News {
        let value = Condition {
            state: None,
            health: Some((health, reason.map(str::to_owned))),
        };
        News {
            players: None,
            condition: Some(Said {
                value,
                at: at(second),
                answered: false,
            }),
        }
    }

    fn stored(news: &[News]) -> Report {
        news.iter().fold(Report::default(), |report, news| {
            next(&report, "p", news, None, at(0)).unwrap_or(report)
        })
    }

    #[test]
    fn the_same_again_is_nothing() {
        let report = stored(&[players(5, 0, false)]);
        assert_eq!(next(&report, "p", &players(5, 9, false), None, at(9)), None);
        assert_eq!(next(&report, "p", &News::default(), None, at(9)), None);
        let more = next(&report, "p", &players(6, 9, false), None, at(9)).unwrap();
        assert_eq!(more.count_of("p"), 6);
        assert_eq!(more.heartbeat_of("p"), Some(rfc3339(at(9)).as_str()));
    }

    #[test]
    fn a_new_pod_starts_with_nothing_of_the_one_before() {
        let report = stored(&[
            players(5, 0, false),
            health(ReportedHealth::Failed, Some("lost"), 1),
        ]);
        let fresh = next(
            &report,
            "q",
            &health(ReportedHealth::Healthy, None, 2),
            None,
            at(2),
        )
        .unwrap();
        assert_eq!(
            (fresh.players.clone(), fresh.count_of("q"), fresh.of("p")),
            (None, 0, None)
        );
        let reported = fresh.of("q").unwrap();
        assert_eq!(
            (&reported.health, &reported.health_reason),
            (&Some(ReportedHealth::Healthy), &None)
        );
        assert_eq!(
            next(&report, "q", &News::default(), None, at(2)),
            None,
            "nothing was said, and nobody asks for heartbeats"
        );
    }

    #[test]
    fn of_two_replicas_the_later_report_wins_unless_its_caller_waits() {
        let report = stored(&[players(5, 10, false)]);
        assert_eq!(next(&report, "p", &players(6, 9, true), None, at(11)), None);
        let waited = next(&report, "p", &players(6, 9, false), None, at(11)).unwrap();
        let time = waited.players.as_ref().unwrap().reported_at.clone();
        assert!(time > report.players.unwrap().reported_at, "{time:?}");
    }

    #[test]
    fn players_and_condition_do_not_outrun_each_other() {
        let report = stored(&[players(5, 10, false)]);
        let mut late = health(ReportedHealth::Failed, None, 9);
        late.answered();
        assert!(next(&report, "p", &late, None, at(11)).is_some());
    }

    #[test]
    fn heartbeats_are_renewed_three_times_in_their_timeout() {
        let every = heartbeat_every(Some(30));
        assert_eq!(every, Some(Duration::from_secs(10)));
        assert_eq!(heartbeat_every(Some(1)), Some(Duration::from_secs(1)));
        assert_eq!((heartbeat_every(None), heartbeat_every(Some(0))), (None, None));
        let first = next(&Report::default(), "p", &News::default(), every, at(0)).unwrap();
        let due = |second| next(&first, "p", &News::default(), every, at(second)).is_some();
        assert_eq!((due(1), due(9), due(10)), (false, false, true));
        assert!(due(-10), "a time from the future is not kept");
    }

    #[test]
    fn later_news_keep_what_they_do_not_mention() {
        let mut news = players(5, 0, true);
        if let Some(said) = &mut news.players {
            said.value.capacity = Some(10);
        }
        news.add(players(6, 1, false));
        news.add(health(ReportedHealth::Healthy, None, 2));
        news.add(News {
            condition: Some(Said {
                value: Condition {
                    state: Some(ReportedState::Running),
                    health: None,
                },
                at: at(3),
                answered: false,
            }),
            players: None,
        });
        let said = news.players.clone().unwrap();
        assert_eq!((said.value.count, said.value.capacity), (6, Some(10)));
        let condition = news.condition.unwrap().value;
        assert_eq!(condition.state, Some(ReportedState::Running));
        assert_eq!(condition.health, Some((ReportedHealth::Healthy, None)));
    }

    #[test]
    fn a_reason_goes_with_the_health_it_belongs_to() {
        let report = stored(&[
            health(ReportedHealth::Failed, Some("no map"), 0),
            health(ReportedHealth::Healthy, None, 1),
        ]);
        assert_eq!(report.of("p").unwrap().health_reason, None);
    }
}
