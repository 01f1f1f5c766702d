use std::time::Duration;

use diesel_locks::Error;
use diesel_locks::aio::Lock;

use crate::support::{Admin, Database, connection_id, keep, soon};

const ONE: Lock = Lock::new("one").timeout(Duration::from_secs(100));
const TWO: Lock = Lock::new("two").timeout(Duration::from_secs(100));

#[tokio::test]
async fn one_of_two_that_wait_for_each_other_fails_and_keeps_its_lock() {
    let database = Database::create().await;
    let (mut first, mut second) = (database.connect().await, database.connect().await);
    let (first_id, second_id) = (connection_id(&mut first).await, connection_id(&mut second).await);
    let mut admin = Admin::connect().await;
    for _ in 0..3 {
        let mut one = ONE.acquire(&mut first).await.unwrap();
        let mut two = TWO.acquire(&mut second).await.unwrap();
        let (a, b) = soon("a deadlock", async {
            let first = async {
                let result = TWO.acquire(&mut one).await.map(keep);
                (result, one.is_still_held().await, one.release().await.map(drop))
            };
            let second = async {
                admin.until_waiting(first_id).await;
                let result = ONE.acquire(&mut two).await.map(keep);
                (result, two.is_still_held().await, two.release().await.map(drop))
            };
            tokio::join!(first, second)
        })
        .await;
        let deadlocks =
            [&a, &b].iter().filter(|end| matches!(end.0, Err(Error::Deadlock { .. }))).count();
        assert_eq!(deadlocks, 1, "{a:?}, {b:?}");
        for end in [a, b] {
            assert!(matches!(end, (_, Ok(true), Ok(()))), "{end:?}");
        }
        Lock::release_all(&mut first).await.unwrap();
        Lock::release_all(&mut second).await.unwrap();
        for lock in ["one", "two"] {
            let holder = admin.holder(&database.full_name(lock)).await;
            assert_eq!(holder, None, "{first_id} and {second_id} released all");
        }
    }
}
