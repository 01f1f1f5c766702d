//! Compiles every Rust snippet of the README and the guide: `cargo test --doc -p
//! diesel-locks-tests`.

macro_rules! documents {
    ($($name:ident: $path:literal,)*) => {$(
        #[cfg(doctest)]
        #[doc = include_str!($path)]
        pub mod $name {}
    )*};
}

documents! {
    readme: "../README.md",
    contributing: "../CONTRIBUTING.md",
    guide: "../docs/README.md",
    guide_contributing: "../docs/contributing.md",
    named_locks: "../docs/named-locks.md",
    lock_sets: "../docs/lock-sets.md",
    table_locks: "../docs/table-locks.md",
    locks_that_last: "../docs/locks-that-last.md",
    attributes: "../docs/attributes.md",
    asynchronous: "../docs/async.md",
    connections: "../docs/connections.md",
    errors: "../docs/errors.md",
    testing: "../docs/testing.md",
    clusters: "../docs/clusters.md",
    performance: "../docs/performance.md",
    choosing: "../docs/choosing.md",
    coming_from: "../docs/coming-from.md",
    summary: "../docs/SUMMARY.md",
    data_migration: "../docs/data-migration.md",
    leader: "../docs/leader.md",
    nightly_job: "../docs/nightly-job.md",
    replicas: "../docs/replicas.md",
    seeing_locks: "../docs/seeing-locks.md",
    faq: "../docs/faq.md",
    locks_top: "../docs/locks-top.md",
    web_service: "../docs/web-service.md",
}
