//! What the library costs to compile: clean builds of a small application, with Diesel alone and
//! with this library, in turn. Run by `./dev bench compile`, explained in `docs/performance.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, process};

const ROUNDS: usize = 3;

const ALONE: &str = include_str!("alone.rs");
const WITH_LOCKS: &str = include_str!("with_locks.rs");

fn main() {
    let folder = env::temp_dir().join(format!("diesel-locks-compile.{}", process::id()));
    let locks = repository().join("locks");
    // Packages of a registry are not compiled incrementally, which costs more the first time.
    let locks = format!(
        "diesel-locks = {{ path = '{}' }}\n\
         [profile.dev.package]\n\
         diesel-locks.incremental = false\n\
         diesel-locks-derive.incremental = false\n",
        locks.display()
    );
    let mut alone = Application::new(&folder, "alone", "", ALONE);
    let mut with_locks = Application::new(&folder, "with-locks", &locks, WITH_LOCKS);
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        alone.build();
        with_locks.build();
    }
    println!("| clean build | CPU time | × alone | wall time | × alone | versions of syn |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, application) in [("Diesel alone", &alone), ("with diesel-locks", &with_locks)] {
        let time = |of: fn(&Cost) -> Duration| {
            let [this, base] = [application, &alone].map(|it| median(it.costs.iter().map(of)));
            let ratio = this.as_secs_f64() / base.as_secs_f64();
            format!("{:.1} s | {ratio:.3}", this.as_secs_f64())
        };
        let (cpu, wall, syn) = (time(|cost| cost.cpu), time(|cost| cost.wall), application.syn());
        println!("| {name} | {cpu} | {wall} | {syn} |");
    }
    let _ = fs::remove_dir_all(folder);
}

struct Cost {
    wall: Duration,
    cpu: Duration,
}

struct Application {
    folder: PathBuf,
    costs: Vec<Cost>,
}

impl Application {
    fn new(parent: &Path, name: &str, dependencies: &str, source: &str) -> Self {
        let folder = parent.join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
             diesel = {{ version = \"2.3\", features = [\"mysql\"] }}\n{dependencies}"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("src/main.rs"), source).unwrap();
        // The same versions for both. Cargo takes out what is not needed.
        fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let application = Self { folder, costs: Vec::new() };
        application.cargo(&["fetch", "--quiet"]);
        application
    }

    fn build(&mut self) {
        // There is nothing to remove the first time.
        let _ = fs::remove_dir_all(self.folder.join("target"));
        let (started, before) = (Instant::now(), cpu_time_of_children());
        self.cargo(&["build", "--offline", "--quiet"]);
        let cpu = cpu_time_of_children().checked_sub(before).expect("time goes on");
        self.costs.push(Cost { wall: started.elapsed(), cpu });
    }

    fn syn(&self) -> String {
        let tree = self.cargo(&["tree", "--offline", "--prefix=none", "--edges=normal,build"]);
        let versions: BTreeSet<_> =
            tree.lines().filter_map(|line| line.strip_prefix("syn ")?.split(' ').next()).collect();
        versions.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn cargo(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn repository() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    repository.expect("this package is in tests/benches").to_owned()
}

/// Of all that have ended, and what they waited for.
fn cpu_time_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    // What follows the name of the program, which may contain anything, is numbers.
    let (_, numbers) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = numbers.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10) // 100 in a second, for all programs that ask the kernel
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort();
    times[times.len() / 2]
}
