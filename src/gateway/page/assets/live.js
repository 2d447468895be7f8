// Live picture and sound of a call. Asks /page/live for what has come since, feeds H.264, VP8, AAC
// and Opus to Media Source, and decodes G.711 here. Picture and sound have an element each: one that
// pauses, or cannot be played, does not stop the other. Times are those of the call's media clock.

const EVERY = 400; // milliseconds from question to question
const SOON = 150; // the same while there is nothing to begin with
const LATER = 2000; // the same after trouble
const TICK = 100; // milliseconds from look to look at the playheads
const ENOUGH = 0.7; // seconds of media to begin with
const BEHIND = 0.9; // seconds of media ahead of a playhead that was moved
const FAR = 2; // more seconds than these ahead: move the playhead
const KEEP = 8; // seconds kept behind the playhead
const RATE = 8000; // samples of G.711 a second

const Source = self.ManagedMediaSource || self.MediaSource;

// A media element and what it is fed by.
class Feed {
  constructor(element) {
    this.element = element;
    this.queue = [];
    this.hungry = true; // waits for enough to play on with
    this.failures = 0;
  }

  // Takes pieces of a type from now on; false where the browser does not play it.
  begin(type) {
    if (!Source || !Source.isTypeSupported(type) || this.failures > 3) return false;
    if (this.type && this.type !== type) {
      if (this.buffer && this.buffer.changeType) this.queue.push(type);
      else this.close();
    }
    this.type = type;
    if (!this.source) this.open();
    return true;
  }

  open() {
    const source = this.source = new Source();
    const url = URL.createObjectURL(source);
    source.addEventListener('sourceopen', () => {
      URL.revokeObjectURL(url);
      if (source !== this.source) return;
      this.buffer = source.addSourceBuffer(this.type);
      this.buffer.mode = 'segments';
      this.buffer.addEventListener('updateend', () => this.pump());
      this.pump();
    }, { once: true });
    this.hungry = true;
    this.element.disableRemotePlayback = true;
    this.element.src = url;
  }

  close() {
    this.source = this.buffer = this.type = null;
    this.queue = [];
    this.element.removeAttribute('src');
    this.element.load();
  }

  push(bytes) {
    this.queue.push(bytes);
    this.pump();
  }

  pump() {
    const buffer = this.buffer;
    try {
      while (buffer && !buffer.updating && this.queue.length) {
        const next = this.queue[0];
        if (typeof next === 'string') buffer.changeType(next);
        else buffer.appendBuffer(next);
        this.queue.shift();
      }
    } catch (error) {
      // A buffer that is full has room after the next look.
      if (error.name !== 'QuotaExceededError') this.broken = true;
    }
  }

  // Whether it has to begin anew.
  get failed() {
    if (!this.broken && !this.element.error) return false;
    this.broken = false;
    this.failures++;
    this.close();
    return true;
  }

  // Whether its playhead moves.
  get plays() {
    return !!this.source && !this.hungry && !this.element.paused;
  }

  // Keeps the playhead a moment behind what comes, or beside that of `lead`.
  look(lead) {
    const { element, buffer } = this;
    const ranges = element.buffered;
    if (!buffer || !ranges.length) return;
    const [start, end] = [ranges.start(ranges.length - 1), ranges.end(ranges.length - 1)];
    let at = element.currentTime;
    if (!buffer.updating && at - ranges.start(0) > 2 * KEEP) buffer.remove(0, at - KEEP);
    else this.pump();
    const follows = lead && lead.plays;
    const wish = follows ? lead.element.currentTime : end - BEHIND;
    const far = follows ? Math.abs(at - wish) > 0.25 : end - at > FAR;
    if (at < start || at > end || far) {
      at = Math.min(Math.max(start, wish), end);
      if (at !== element.currentTime) element.currentTime = at;
    }
    const ahead = end - at;
    if (this.hungry ? ahead >= (follows ? 0.1 : ENOUGH) : element.paused) {
      this.hungry = false;
      element.play().catch(() => {});
    } else if (!this.hungry && element.readyState < 3 && ahead < 0.1) {
      this.hungry = true;
      element.pause();
    }
    if (this.hungry) return;
    this.failures = 0;
    let rate = ahead > 1.5 ? 1.06 : 1;
    if (follows) rate = lead.element.playbackRate - Math.max(-0.08, Math.min(0.08, at - wish));
    if (Math.abs(element.playbackRate - rate) > 0.01) element.playbackRate = rate;
  }
}

// What the bytes of both laws of G.711 mean (ITU-T G.711).
const LAWS = {
  'audio/pcma': byte => {
    const bits = byte ^ 0x55;
    const exponent = bits >> 4 & 7;
    let value = (bits & 15) << 4 | 8;
    if (exponent) value = value + 256 << exponent - 1;
    return bits & 128 ? value : -value;
  },
  'audio/pcmu': byte => {
    const bits = ~byte & 255;
    const value = ((bits & 15) << 3 | 132) << (bits >> 4 & 7);
    return bits & 128 ? 132 - value : value - 132;
  },
};

// Plays G.711.
class Telephone {
  constructor() {
    // At the rate of the samples, pieces join without a seam.
    this.context = new AudioContext({ sampleRate: RATE });
    this.node = this.context.createGain();
    this.node.connect(this.context.destination);
    this.sounds = new Set();
    this.shift = NaN; // from the call's clock to that of the context
    this.end = 0;
    this.plays = false;
  }

  begin(type) {
    this.table = Float32Array.from({ length: 256 }, (_, byte) => LAWS[type](byte) / 32768);
  }

  // Frames that follow each other become one sound.
  push(bytes, lead) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let run = [], begin = 0;
    for (let at = 0; at + 10 <= bytes.length;) {
      const time = view.getFloat64(at);
      const count = view.getUint16(at + 8);
      if (run.length && Math.abs(begin + run.length / RATE - time) > 0.01) {
        this.play(run, begin, lead);
        run = [];
      }
      if (!run.length) begin = time;
      for (const byte of bytes.subarray(at + 10, at + 10 + count)) run.push(this.table[byte]);
      at += 10 + count;
    }
    if (run.length) this.play(run, begin, lead);
  }

  play(samples, time, lead) {
    const { context } = this;
    const now = context.currentTime;
    let at = time + this.shift;
    let wish = at;
    if (lead && lead.plays) wish = now + (time - lead.element.currentTime);
    else if (!(at > now + 0.02 && at < now + FAR)) wish = now + ENOUGH / 2;
    if (!(Math.abs(at - wish) < 0.08)) {
      this.shift = wish - time;
      at = wish;
      for (const sound of this.sounds) sound.stop();
      this.end = 0;
    }
    if (Math.abs(at - this.end) < 0.005) at = this.end;
    const late = Math.max(0, Math.ceil((now - at) * RATE));
    if (late >= samples.length) return;
    const buffer = context.createBuffer(1, samples.length - late, RATE);
    buffer.copyToChannel(Float32Array.from(samples.slice(late)), 0);
    const sound = context.createBufferSource();
    sound.buffer = buffer;
    sound.connect(this.node);
    sound.onended = () => this.sounds.delete(sound);
    this.sounds.add(sound);
    at = Math.round(at * RATE + late) / RATE;
    sound.start(at);
    this.end = at + buffer.duration;
    this.plays = context.state === 'running';
  }

  close() {
    this.context.close();
  }
}

// Shows a call in a video element. `live` is what /page/now says of it, where that is known.
// `onState(code, detail)` is told: starting, waitingForKeyframe, playing, soundOnly, onHold, noCodec,
// noSound, ended, offline, signedOut, tooManyWatched. The sound is off at first: it is switched from
// a click.
export function play(video, { call, live, onState = () => {} }) {
  const picture = new Feed(video);
  const abort = new AbortController();
  let speaker = null; // an element's feed, or a telephone
  let wanted = false; // sound
  let over = false;
  let told = ''; // the state told last
  let hold = false, waits = false;
  let muteFor = ''; // a codec of sound that cannot be played
  let blindFor = ''; // the same of pictures
  let next = {}; // where each track goes on
  let codecs = { video: live && live.video, audio: live && live.audio };
  let timer = 0, wake = null;
  video.muted = true;
  video.playsInline = true;

  const tell = (code, detail = '') => {
    if (told === code + detail) return;
    told = code + detail;
    onState(code, detail);
  };

  const end = code => {
    if (over) return;
    over = true;
    abort.abort();
    clearInterval(timer);
    document.removeEventListener('visibilitychange', appear);
    if (wake) wake();
    picture.close();
    silence();
    if (code) tell(code);
  };

  const silence = () => {
    if (speaker) speaker.close();
    speaker = null;
    delete next.audio;
  };

  const appear = () => {
    if (!document.hidden && wake) wake();
  };

  const pause = time => new Promise(done => {
    const id = setTimeout(done, time);
    wake = () => { clearTimeout(id); done(); };
  });

  // The player for a type of sound; null where there is none.
  const speakerFor = type => {
    const phone = type in LAWS;
    if (speaker && speaker instanceof Telephone !== phone) {
      speaker.close();
      speaker = null;
    }
    if (!speaker) speaker = phone ? new Telephone() : new Feed(new Audio());
    return speaker.begin(type) === false ? null : speaker;
  };

  const address = () => {
    const place = track => next[track] ? `&${track}=${encodeURIComponent(next[track])}` : '';
    const sound = wanted && !(muteFor && muteFor === codecs.audio) ? place('audio') : '&audio=-';
    const sight = blindFor && blindFor === codecs.video ? '&video=-' : place('video');
    return `/page/live?call=${encodeURIComponent(call)}${sight}${sound}`;
  };

  // Takes one answer; the milliseconds to the next question.
  const take = (about, bytes) => {
    const { video: sight, audio: sound } = about;
    const heard = wanted;
    hold = about.hold;
    waits = !!sight && sight.waits;
    codecs = { video: sight && sight.codec, audio: sound && sound.codec };
    if (sight) {
      next.video = sight.next;
      const piece = bytes.subarray(0, sight.bytes);
      if (sight.anew) blindFor = sight.type && picture.begin(sight.type) ? '' : sight.codec;
      if (piece.length && picture.type && !blindFor) picture.push(piece);
    }
    if (sound && heard) {
      next.audio = sound.next;
      const piece = bytes.subarray(sight ? sight.bytes : 0);
      if (sound.anew) muteFor = sound.type && speakerFor(sound.type) ? '' : sound.codec;
      if (piece.length && speaker && !muteFor) speaker.push(piece, picture);
    }
    return about.more ? 0 : waits ? SOON : EVERY;
  };

  const ask = async () => {
    const answer = await fetch(address(), { cache: 'no-store', signal: abort.signal });
    if (answer.status === 401) return end('signedOut');
    if (answer.status === 404) return end('ended');
    if (answer.status === 503) {
      const { problem } = await answer.json().catch(() => ({}));
      if (problem === 'tooManyWatched') tell(problem);
      return LATER;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const about = JSON.parse(answer.headers.get('X-Live'));
    return take(about, new Uint8Array(await answer.arrayBuffer()));
  };

  const look = () => {
    if (over) return;
    if (picture.failed) {
      delete next.video;
      if (picture.failures > 3) blindFor = codecs.video;
    }
    picture.look(null);
    if (speaker instanceof Feed) {
      if (speaker.failed) {
        delete next.audio;
        if (speaker.failures > 3) muteFor = codecs.audio;
      }
      speaker.look(picture);
    }
    if (told === 'offline' || told === 'tooManyWatched') return;
    const seen = codecs.video && !blindFor, heard = speaker && speaker.plays;
    const deaf = muteFor || (codecs.audio === 'Speex' ? codecs.audio : '');
    if (hold) tell('onHold');
    else if (seen && picture.plays && !picture.element.seeking) {
      if (wanted && deaf) tell('noSound', deaf);
      else tell('playing', `${video.videoWidth}x${video.videoHeight}`);
    } else if (seen && waits) tell('waitingForKeyframe');
    else if (!seen && (deaf || blindFor) && !heard && (deaf || !codecs.audio)) {
      tell('noCodec', blindFor || deaf);
    } else if (!seen && heard) tell('playing');
    else if (!seen && codecs.audio && !wanted) tell('soundOnly', blindFor);
  };

  const run = async () => {
    while (!over) {
      const began = Date.now();
      let wait;
      try {
        wait = await ask();
        if (told === 'offline' && wait < LATER) told = '';
      } catch {
        wait = LATER;
        if (!over) tell('offline');
      }
      if (over) return;
      await pause(Math.max(0, wait - (Date.now() - began)));
      // Nobody looks and nobody listens.
      while (!over && document.hidden && !wanted) await pause(60000);
    }
  };

  const sound = on => {
    if (over || wanted === !!on) return;
    wanted = !!on;
    muteFor = '';
    if (!wanted) return silence();
    delete next.audio;
    // A browser lets sound begin only within the click.
    if (/^(G\.711|pcm)/.test(codecs.audio || '')) speaker = new Telephone();
    else {
      speaker = new Feed(new Audio());
      speaker.element.play().catch(() => {});
    }
    if (wake) wake();
  };

  tell('starting');
  document.addEventListener('visibilitychange', appear);
  timer = setInterval(look, TICK);
  run();
  return {
    stop: () => end(''),
    sound,
    mute: on => sound(!on),
    // Where the sound comes from: an audio element, or a node of an AudioContext.
    get speaker() {
      return speaker && (speaker.node || speaker.element);
    },
  };
}
