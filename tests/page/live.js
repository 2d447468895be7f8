// Watches a call in Chromium by the page's live.js, on a page of its own with the page's content
// policy. Arguments: origin of the page, the call, seconds to watch, a folder that gets the pieces of
// each track joined, the page's password. Prints what it saw as JSON.

const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

const [origin, call, seconds, folder, password] = process.argv.slice(2);
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
  "img-src 'self' blob:; media-src blob:; connect-src 'self'";

const HTML = `<!DOCTYPE html><title>live</title><video muted playsinline></video>
<button>sound</button><script type="module" src="/watch.js"></script>`;

const WATCH = `
import { play } from '/live.js';
const video = document.querySelector('video');
self.seen = { states: [], began: performance.now() };
self.player = play(video, { call: new URLSearchParams(location.search).get('call'), live: null,
  onState: (code, detail) => seen.states.push([code, detail, Math.round(performance.now())]) });
document.querySelector('button').addEventListener('click', () => player.sound(true));
`;

// Watches for a while: playhead, how far it is behind, and how loud it is.
async function measure(span) {
  const video = document.querySelector('video');
  const { speaker } = player;
  let analyser, context;
  if (speaker instanceof AudioNode) {
    context = speaker.context;
    analyser = context.createAnalyser();
    speaker.connect(analyser);
  } else if (speaker) {
    context = new AudioContext();
    analyser = context.createAnalyser();
    context.createMediaStreamSource(speaker.captureStream()).connect(analyser);
  }
  const levels = [], ahead = [], skew = [], steps = [], still = [];
  let last = video.currentTime;
  const [began, from] = [performance.now(), video.currentTime];
  const pictures = video.getVideoPlaybackQuality().totalVideoFrames;
  while (performance.now() < began + span) {
    await new Promise(done => setTimeout(done, 100));
    const { buffered, currentTime } = video;
    if (buffered.length) ahead.push(buffered.end(buffered.length - 1) - currentTime);
    steps.push(currentTime - last);
    last = currentTime;
    if (analyser) {
      const wave = new Float32Array(analyser.fftSize);
      analyser.getFloatTimeDomainData(wave);
      levels.push(Math.sqrt(wave.reduce((sum, value) => sum + value * value, 0) / wave.length));
      if (speaker instanceof Element) skew.push(speaker.currentTime - currentTime);
    }
  }
  return {
    span: (performance.now() - began) / 1000,
    moved: video.currentTime - from,
    at: video.currentTime,
    wall: Date.now(),
    stalls: steps.filter(step => step < 0.01).length,
    jumps: steps.filter(step => step < 0 || step > 0.4).length,
    ahead: [Math.min(...ahead), Math.max(...ahead)],
    skew: skew.length ? [Math.min(...skew), Math.max(...skew)] : null,
    loud: levels.filter(level => level > 0.005).length,
    looked: levels.length,
    speaker: speaker ? speaker.constructor.name : null,
    context: context ? context.state : null,
    size: [video.videoWidth, video.videoHeight],
    error: video.error && video.error.message,
    quality: video.getVideoPlaybackQuality().totalVideoFrames - pictures,
    dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
  };
}

async function signIn(page) {
  await page.goto(`${origin}/icon.svg`);
  const done = await page.evaluate(async password => {
    const headers = { 'Content-Type': 'application/json', 'X-Trunkcast': '1' };
    const body = JSON.stringify({ password });
    const answer = await fetch('/page/login', { method: 'POST', headers, body });
    return answer.status;
  }, password);
  if (done !== 200) throw new Error(`signing in: ${done}`);
}

// Keeps the pieces of every answer, up to the second beginning of a track.
function keep(page) {
  const begun = { video: 0, audio: 0 };
  let before = Promise.resolve();
  page.on('response', response => {
    const told = response.headers()['x-live'];
    if (!told) return;
    const body = response.body().catch(() => null);
    before = before.then(async () => {
      const bytes = await body;
      if (!bytes) return;
      const about = JSON.parse(told);
      let from = 0;
      for (const track of ['video', 'audio']) {
        const { bytes: length, anew } = about[track] || { bytes: 0 };
        if (anew) begun[track]++;
        if (begun[track] === 1) {
          fs.appendFileSync(path.join(folder, track), bytes.subarray(from, from + length));
        }
        from += length;
      }
    });
  });
}

async function main() {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--mute-audio'],
  });
  const faults = [];
  try {
    const page = await browser.newPage();
    page.on('pageerror', error => faults.push(String(error)));
    page.on('console', line => line.type() === 'error' && faults.push(line.text()));
    const own = (at, contentType, body) => page.route(`${origin}${at}`, route =>
      route.fulfill({ contentType, body, headers: { 'Content-Security-Policy': POLICY } }));
    keep(page);
    await own('/watch.html*', 'text/html', HTML);
    await own('/watch.js', 'text/javascript', WATCH);
    await signIn(page);
    faults.length = 0;
    await page.goto(`${origin}/watch.html?call=${call}`);
    const shows = code => page.waitForFunction(
      wanted => seen.states.some(([code]) => code === wanted), code, { timeout: 15000 });
    const first = await Promise.race(['playing', 'soundOnly', 'noCodec'].map(code =>
      shows(code).then(() => code, () => 'nothing')));
    await page.click('button');
    await page.waitForTimeout(2500);
    const measured = await page.evaluate(measure, seconds * 1000);
    const states = await page.evaluate(() => seen.states);
    console.log(JSON.stringify({ first, faults: faults.slice(), measured, states }));
    // The caller hangs up.
    await shows('ended').catch(() => {});
    const all = await page.evaluate(() => seen.states);
    console.log(JSON.stringify({ last: all[all.length - 1], faults, states: all }));
  } finally {
    await browser.close();
  }
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
