//! An RTMP server that writes down what is published to it.
//!
//! `enhanced ADDRESS FOLDER [list=FOURCC,..] [video=FOURCC,..] [audio=FOURCC,..] [close=FORMAT,..]`
//!
//! Handshake, chunks, commands and the reading of tags are oxideav-rtmp's. The connect answer lists
//! `list` as `fourCcList`, and `video` and `audio` as `videoFourCcInfoMap` and `audioFourCcInfoMap`;
//! without any of them it is that of a server of before 2023. Sound in one of the `close` formats
//! of FLV ends the connection, as some servers do with G.711.
//!
//! Each publish fills a file `NUMBER_STREAM.txt` with one line a message:
//!
//! ```text
//! publish APP STREAM FOURCC,..
//! meta KEY=VALUE ..
//! audio MILLISECONDS CODEC PACKET_TYPE - - HEX
//! video MILLISECONDS CODEC PACKET_TYPE FRAME_TYPE COMPOSITION HEX
//! end REASON
//! ```
//!
//! CODEC is a FourCC, or `flv` and the number of a legacy format; PACKET_TYPE is `-` where the
//! format has none.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use oxideav_rtmp::{
    Amf0Value, ConnectCapabilities, FOURCC_INFO_CAN_FORWARD, FourCcInfoMap, PublishRequest,
    RtmpServer, StreamPacket,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, folder, options @ ..] = &arguments[..] else {
        eprintln!("enhanced ADDRESS FOLDER [list=..] [video=..] [audio=..] [close=..]");
        std::process::exit(2);
    };
    let words = |name: &str| -> Vec<String> {
        let values = options.iter().filter_map(|option| option.split_once('='));
        values
            .filter(|(key, _)| *key == name)
            .flat_map(|(_, value)| value.split(',').map(str::to_owned))
            .collect()
    };
    let map = |names: Vec<String>| {
        let mut map = FourCcInfoMap::new();
        for name in names {
            map.insert(name, FOURCC_INFO_CAN_FORWARD);
        }
        map
    };
    let mut server = RtmpServer::bind(address).expect("the address is free");
    server.set_capabilities(ConnectCapabilities {
        fourcc_list: words("list"),
        video_fourcc_info_map: map(words("video")),
        audio_fourcc_info_map: map(words("audio")),
        ..ConnectCapabilities::default()
    });
    println!("listening on {address}");
    let folder = PathBuf::from(folder);
    let close: Vec<u8> = words("close")
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    let count = AtomicU32::new(0);
    let ended = server.serve(move |request| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        match record(request, &folder, number, &close) {
            Ok(()) => println!("publish {number} ended"),
            Err(error) => println!("publish {number} failed: {error}"),
        }
    });
    println!("the server ended: {ended:?}");
}

fn record(request: PublishRequest, folder: &Path, number: u32, close: &[u8]) -> io::Result<()> {
    let mut file = File::create(folder.join(format!("{number}_{}.txt", request.stream_name)))?;
    let offered = request.capabilities.fourcc_list.join(",");
    let (app, stream) = (request.app.clone(), request.stream_name.clone());
    writeln!(file, "publish {app} {stream} {offered}")?;
    println!("publish {number} of {stream} to {app}, offered {offered}");
    let mut session = request.accept().map_err(io::Error::other)?;
    loop {
        let packet = match session.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return writeln!(file, "end unpublished"),
            Err(error) => {
                writeln!(file, "end {error}")?;
                return Err(io::Error::other(error));
            }
        };
        let line = match packet {
            StreamPacket::Audio { timestamp, tag } => {
                let legacy = tag.audio_fourcc.is_none();
                if legacy && close.contains(&tag.sound_format) {
                    writeln!(file, "end refused sound format {}", tag.sound_format)?;
                    println!(
                        "publish {number} refused for sound format {}",
                        tag.sound_format
                    );
                    // Without a word, as those servers do.
                    drop(session);
                    return Ok(());
                }
                let codec = name(tag.audio_fourcc, tag.sound_format);
                let kind = number_or_dash(tag.ex_packet_type.or(tag.aac_packet_type));
                format!("audio {timestamp} {codec} {kind} - - {}", hex(&tag.body))
            }
            StreamPacket::Video { timestamp, tag } => {
                let codec = name(tag.fourcc, tag.codec_id);
                let kind = number_or_dash(tag.ex_packet_type.or(tag.avc_packet_type));
                let (frame, composition) = (tag.frame_type, tag.composition_time);
                let body = hex(&tag.body);
                format!("video {timestamp} {codec} {kind} {frame} {composition} {body}")
            }
            StreamPacket::Metadata(value) => format!("meta {}", fields(&value)),
            StreamPacket::DataFrame { handler, value } => {
                format!("data {handler} {}", fields(&value))
            }
            other => format!("other {other:?}").replace('\n', " "),
        };
        writeln!(file, "{line}")?;
    }
}

fn name(four_cc: Option<[u8; 4]>, number: u8) -> String {
    match four_cc {
        Some(four_cc) => String::from_utf8_lossy(&four_cc).into_owned(),
        None => format!("flv{number}"),
    }
}

fn number_or_dash(number: Option<u8>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn fields(value: &Amf0Value) -> String {
    let (Amf0Value::Object(pairs) | Amf0Value::EcmaArray(pairs)) = value else {
        return format!("{value:?}");
    };
    let words = pairs.iter().map(|(key, value)| match value {
        Amf0Value::Number(number) => format!("{key}={number}"),
        Amf0Value::String(text) => format!("{key}={text}"),
        Amf0Value::Boolean(truth) => format!("{key}={truth}"),
        other => format!("{key}={other:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
