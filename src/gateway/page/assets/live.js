// Live picture and sound of a call: asks /page/live for what has come, feeds Media Source, and decodes
// G.711 here. Picture and sound have an element each: one that pauses does not stop the other.

// Milliseconds between questions: usually, while there is nothing to begin with, after trouble.
const EVERY = 400, SOON = 150, LATER = 2000;
// Seconds of media ahead of the playhead: to begin with, once it was moved, too many.
const ENOUGH = 0.7, BEHIND = 0.9, FAR = 2;
const KEEP = 8; // seconds kept behind it
const RATE = 8000; // samples of G.711 a second

const Source = self.ManagedMediaSource || self.MediaSource;

// Feeds a media element.
class Feed {
  constructor(element) {
    this.element = element;
    this.queue = [];
    this.hungry = true; // waits for enough to play on with
    this.failures = 0;
  }

  // Takes a type of pieces; false where it is not played.
  begin(type) {
    if (!Source || !Source.isTypeSupported(type) || this.failures > 3) return false;
    if (this.type && this.type !== type) {
      if (this.buffer) this.queue.push(type);
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
    });
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
      // A full buffer has room later.
      if (error.name !== 'QuotaExceededError') this.broken = true;
    }
  }

  // Whether it must begin anew.
  get failed() {
    if (!this.broken && !this.element.error) return false;
    this.broken = false;
    this.failures++;
    this.close();
    return true;
  }

  get plays() {
    return !!this.source && !this.hungry && !this.element.paused;
  }

  // Keeps the playhead a moment behind what comes, or beside `lead`'s.
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
    if (at < start || at > end + 1 || far) {
      element.currentTime = at = Math.min(Math.max(start, wish), end);
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

// Samples of both laws of G.711.
const LAWS = {
  'audio/pcma': byte => {
    const bits = byte ^ 0x55, exponent = bits >> 4 & 7;
    const value = (bits & 15) << 4 | 8;
    const size = exponent ? value + 256 << exponent - 1 : value;
    return bits & 128 ? size : -size;
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
    // At this rate pieces join without a seam.
    this.context = new AudioContext({ sampleRate: RATE });
    this.node = this.context.createGain();
    this.node.connect(this.context.destination);
    this.sounds = new Set();
    this.shift = NaN; // from the call's clock to that of the context
    this.end = 0;
  }

  begin(type) {
    this.table = Float32Array.from({ length: 256 }, (_, byte) => LAWS[type](byte) / 32768);
    return true;
  }

  push(bytes, lead) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (let at = 0, end; at < bytes.length; at = end) {
      end = at + 10 + view.getUint16(at + 8);
      const samples = Float32Array.from(bytes.subarray(at + 10, end), byte => this.table[byte]);
      this.play(samples, view.getFloat64(at), lead);
    }
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
    buffer.copyToChannel(samples.subarray(late), 0);
    const sound = context.createBufferSource();
    sound.buffer = buffer;
    sound.connect(this.node);
    this.sounds.add(sound);
    sound.onended = () => this.sounds.delete(sound);
    at = Math.round(at * RATE + late) / RATE;
    sound.start(at);
    this.end = at + buffer.duration;
    this.plays = context.state === 'running';
  }

  close() {
    this.context.close();
  }
}

// Shows a call, silent until sound(true) in a click; `live` as in /page/now. Codes of onState(code,
// detail): starting waitingForKeyframe playing soundOnly onHold noCodec noSound ended offline signedOut
// tooManyWatched.
export function play(video, { call, live, onState = () => {} }) {
  const picture = new Feed(video);
  const abort = new AbortController();
  const next = {}; // where each track goes on
  let codecs = live || {};
  let speaker = null;
  let wanted = false, over = false, hold = false, waits = false;
  let told = '', timer = 0, epoch = 0, trouble = false;
  let wake = () => {};
  let muteFor = '', blindFor = ''; // codecs that are not played
  video.muted = true;
  video.autoplay = false;

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
    picture.close();
    silence();
    if (code) tell(code);
  };

  const silence = () => {
    if (speaker) speaker.close();
    speaker = null;
    delete next.audio;
  };

  const pause = time => new Promise(done => {
    const id = setTimeout(done, time);
    wake = () => { clearTimeout(id); done(); };
  });

  // Makes the sound of a type heard; false where it is not played.
  const speak = type => {
    const phone = type in LAWS;
    if (speaker instanceof Telephone !== phone) {
      speaker.close();
      speaker = phone ? new Telephone() : new Feed(new Audio());
    }
    return speaker.begin(type);
  };

  const address = () => {
    const place = (track, off) => off ? `&${track}=-` : next[track] ? `&${track}=${next[track]}` : '';
    const sight = place('video', blindFor && blindFor === codecs.video);
    const sound = place('audio', !wanted || muteFor && muteFor === codecs.audio);
    return `/page/live?call=${encodeURIComponent(call)}${sight}${sound}`;
  };

  // Takes an answer; milliseconds to the next question.
  const take = (about, bytes) => {
    const { video: sight, audio: sound } = about;
    hold = about.hold;
    waits = !!sight && sight.waits;
    codecs = { video: sight && sight.codec, audio: sound && sound.codec };
    if (sight) {
      next.video = sight.next;
      const piece = bytes.subarray(0, sight.bytes);
      if (sight.anew) blindFor = sight.type && picture.begin(sight.type) ? '' : sight.codec;
      if (piece.length && picture.type && !blindFor) picture.push(piece);
    }
    if (sound && wanted) {
      next.audio = sound.next;
      const piece = bytes.subarray(sight ? sight.bytes : 0);
      if (sound.anew) muteFor = sound.type && speak(sound.type) ? '' : sound.codec;
      if (piece.length && !muteFor) speaker.push(piece, picture);
    }
    return about.more ? 0 : waits ? SOON : EVERY;
  };

  const ask = async () => {
    const asked = epoch;
    const answer = await fetch(address(), { cache: 'no-store', signal: abort.signal });
    if (answer.status === 401) return end('signedOut');
    if (answer.status === 404) return end('ended');
    if (answer.status === 503) {
      const { problem } = await answer.json().catch(() => ({}));
      trouble = problem === 'tooManyWatched';
      if (trouble) tell(problem);
      return LATER;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const about = JSON.parse(answer.headers.get('X-Live'));
    const bytes = new Uint8Array(await answer.arrayBuffer());
    trouble = false;
    // What belongs to a beginning that is given up is asked for again.
    return asked === epoch ? take(about, bytes) : 0;
  };

  const look = () => {
    if (over) return;
    if (picture.failed) {
      epoch++;
      delete next.video;
      if (picture.failures > 3) blindFor = codecs.video;
    }
    picture.look(null);
    if (speaker instanceof Feed) {
      if (speaker.failed) {
        epoch++;
        delete next.audio;
        if (speaker.failures > 3) muteFor = codecs.audio;
      }
      speaker.look(picture);
    }
    if (trouble) return;
    const seen = codecs.video && !blindFor, heard = speaker && speaker.plays;
    const deaf = muteFor || (codecs.audio === 'Speex' ? codecs.audio : '');
    if (hold) tell('onHold');
    else if (seen && picture.plays && !picture.element.seeking) {
      if (wanted && deaf) tell('noSound', deaf);
      else tell('playing', `${video.videoWidth}x${video.videoHeight}`);
    } else if (seen && waits) tell('waitingForKeyframe');
    else if (!seen && (deaf || blindFor) && !heard && (deaf || !codecs.audio)) {
      tell('noCodec', blindFor || deaf);
    } else if (!seen && (heard || codecs.audio && !wanted)) {
      tell(blindFor ? 'soundOnly' : 'playing', blindFor);
    }
  };

  const run = async () => {
    while (!over) {
      const began = Date.now();
      let wait;
      try {
        wait = await ask();
      } catch {
        wait = LATER;
        trouble = true;
        if (!over) tell('offline');
      }
      if (!over) await pause(Math.max(0, wait - (Date.now() - began)));
      // Nobody looks, nobody listens.
      while (!over && document.hidden && !wanted) await pause(6e4);
    }
  };

  const sound = on => {
    if (over || wanted === !!on) return;
    wanted = !!on;
    muteFor = '';
    epoch++;
    if (!wanted) return silence();
    // Sound may begin only within the click.
    if (/^(G\.711|pcm)/.test(codecs.audio || '')) speaker = new Telephone();
    else {
      speaker = new Feed(new Audio());
      speaker.element.play().catch(() => {});
    }
    wake();
  };

  tell('starting');
  document.addEventListener('visibilitychange', () => wake(), { signal: abort.signal });
  timer = setInterval(look, 100);
  run();
  return {
    stop: () => end(''),
    sound,
    // An element, or a node of an AudioContext.
    get speaker() {
      return speaker && (speaker.node || speaker.element);
    },
  };
}
