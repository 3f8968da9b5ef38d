use towtank_explore::story::Story;
use towtank_model::version::KubernetesVersion;
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let versions: Vec<KubernetesVersion> = KubernetesVersion::all().collect();
    let mut counts: std::collections::BTreeMap<String, (u64, u64, usize, String)> = Default::default();
    for seed in args[0]..args[1] {
        for len in [3, 8, 24] {
            let story = Story::random(versions[(seed % 10) as usize], seed, len);
            if let Err(broken) = story.play() {
                let text = broken.to_string();
                let name = text.split(": ").nth(1).unwrap_or("").to_owned();
                let entry = counts.entry(name).or_insert((0, seed, len, text.clone()));
                entry.0 += 1;
                if len < entry.2 { *entry = (entry.0, seed, len, text); }
            }
        }
    }
    for (name, (n, seed, len, text)) in counts {
        println!("{n:6} {name}\n       seed {seed} len {len}: {text}");
        let story = Story::random(versions[(seed % 10) as usize], seed, len);
        println!("       {} {:?} {:?}", story.version, story.setting.stage, story.verbs);
    }
}
