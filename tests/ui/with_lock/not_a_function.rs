#![allow(unused_macros)]

use diesel_locks::with_lock;

#[with_lock("nightly")]
struct Nightly;

#[with_lock("nightly")]
pub enum Kind {}

#[with_lock("nightly")]
impl Nightly {}

#[with_lock("nightly")]
const NIGHTLY: u8 = 1;

#[with_lock("nightly")]
unsafe extern "C" {
    fn foreign();
}

#[with_lock("nightly")]
macro_rules! nightly {
    () => {};
}

fn main() {}
