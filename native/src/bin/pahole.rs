use kbuild_btf_native::*;
fn main(){ let a:Vec<String>=std::env::args().collect(); let r=link::Request{elf:a[2].as_ref(),features:features::Features::STANDARD,excluded_languages:vec![],jobs:a.get(4).map_or(0,|j|j.parse().unwrap()),base:None};
 let o = if a[1]=="encode"{link::encode(&r)}else{link::link(&r,None)}; match o {Err(e)=>{eprintln!("{e}");std::process::exit(1)},Ok(o)=>{ for (n,c) in &o.report {println!("{n} {c}")} for (n,c) in &o.timings {println!("{n} {:.3}",c)} std::fs::write(&a[3],&o.btf).unwrap();}}}
