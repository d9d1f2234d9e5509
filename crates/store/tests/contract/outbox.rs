//! Letters: written with what they tell of or not at all, kept in order, and never too many.

use crate::{
    at, host, keys,
    site::{Site, on_each_database},
};
use store::{Fate, Guard, Op, Outbox, OutboxRule, SqlStore, Store, StoreConfig, StoreError, Telling, migrate};

fn telling(note: &str) -> Telling {
    Telling {
        regarding: "Host/a".into(),
        regarding_uid: "Host-a".into(),
        warning: true,
        reason: "HostDown".into(),
        note: note.into(),
        reporter: "controller".into(),
    }
}

async fn open(site: &Site) -> SqlStore {
    let config = StoreConfig { outbox: Some(OutboxRule::default()), ..site.config() };
    migrate(&config, None).await.unwrap();
    SqlStore::open(&config, keys()).await.unwrap()
}

async fn notes(store: &SqlStore) -> Vec<String> {
    let letters = store.letters(1_000).await.unwrap();
    letters.iter().map(|l| serde_json::from_str::<serde_json::Value>(&l.body).unwrap()["note"].as_str().unwrap().to_string()).collect()
}

on_each_database! {
    async fn a_letter_is_written_with_what_it_tells_of_or_not_at_all(site) {
        let store = open(&site).await;
        store.commit(Guard::Open, at(0), vec![Op::Create(host("a")), Op::Tell(telling("one"))]).await.unwrap();
        let failed = store.commit(Guard::Open, at(1), vec![Op::Tell(telling("two")), Op::Create(host("a"))]).await;
        assert!(matches!(failed, Err(StoreError::AlreadyExists(_))), "{failed:?}");
        let revision = store.revision().await.unwrap().current;
        store.commit(Guard::Open, at(2), vec![Op::Tell(telling("three"))]).await.unwrap();
        assert_eq!(notes(&store).await, ["one", "three"]);
        assert_eq!(store.revision().await.unwrap().current, revision, "letters are off the revision counter");
        // Another process, which delivers nothing and so writes no letter.
        site.open().await.commit(Guard::Open, at(3), vec![Op::Tell(telling("four"))]).await.unwrap();
        assert_eq!(notes(&store).await, ["one", "three"]);
        assert_eq!(store.events(None, 10).await.unwrap().len(), 3, "Events are told all the same");
    }

    async fn letters_of_several_processes_are_in_the_order_of_their_commits_whatever_their_clocks_say(site) {
        let (one, two) = (open(&site).await, open(&site).await);
        for n in 0..10_i64 {
            let (store, clock) = if n % 2 == 0 { (&one, 1_000 - n) } else { (&two, n) };
            store.commit(Guard::Open, at(clock), vec![Op::Tell(telling(&format!("{n}")))]).await.unwrap();
        }
        assert_eq!(notes(&one).await, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(notes(&two).await, notes(&one).await);
    }

    async fn a_letter_goes_when_it_was_delivered_or_given_up_and_stays_when_it_only_failed(site) {
        let store = open(&site).await;
        for note in ["one", "two", "three"] {
            store.commit(Guard::Open, at(0), vec![Op::Tell(telling(note))]).await.unwrap();
        }
        let letters = store.letters(10).await.unwrap();
        store.settle_letter(&letters[0].id, &Fate::Failed("x".repeat(5_000)), at(1)).await.unwrap();
        assert_eq!(notes(&store).await, ["one", "two", "three"]);
        assert_eq!(store.outbox().await.unwrap().failure.len(), 500);
        store.settle_letter(&letters[0].id, &Fate::Delivered, at(2)).await.unwrap();
        store.settle_letter(&letters[1].id, &Fate::GivenUp("410 Gone".into()), at(3)).await.unwrap();
        // Somebody else had delivered it as well.
        store.settle_letter(&letters[0].id, &Fate::Delivered, at(4)).await.unwrap();
        assert_eq!(notes(&store).await, ["three"]);
        let state = store.outbox().await.unwrap();
        assert_eq!((state.length, state.oldest, state.delivered, state.given_up, state.dropped), (1, Some(at(0)), 2, 1, 0));
        assert_eq!((state.delivered_at, state.failed_at, state.lost_at), (Some(at(4)), Some(at(3)), Some(at(3))));
        assert_eq!(state.failure, "410 Gone");
    }

    async fn the_oldest_letters_are_thrown_away_when_there_are_too_many_and_that_is_counted(site) {
        let store = open(&site).await;
        for n in 0..6 {
            store.commit(Guard::Open, at(n), vec![Op::Tell(telling(&format!("{n}")))]).await.unwrap();
        }
        assert_eq!(store.trim_outbox(6, at(0), at(9)).await.unwrap(), 0);
        assert_eq!(store.outbox().await.unwrap().lost_at, None);
        assert_eq!(store.trim_outbox(4, at(0), at(9)).await.unwrap(), 2);
        assert_eq!(store.trim_outbox(4, at(4), at(10)).await.unwrap(), 2);
        assert_eq!(notes(&store).await, ["4", "5"]);
        let state = store.outbox().await.unwrap();
        assert_eq!((state.dropped, state.lost_at), (4, Some(at(10))));
        // The one after the last: numbers are not used twice while letters are there.
        store.commit(Guard::Open, at(11), vec![Op::Tell(telling("6"))]).await.unwrap();
        assert_eq!(notes(&store).await, ["4", "5", "6"]);
    }
}
