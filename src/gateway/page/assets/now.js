// What goes on: the state in one line, calls, trunks, history, the box.
import { ask, bitrate, bytes, clock, code, dialog, h, has, morph, ms, num, percent, span, spark, t, unit, when } from "./ui.js";

const SAMPLES = 60;
const CODECS = { H264: "H.264", PCMA: "G.711 A-law", PCMU: "G.711 µ-law" };
const samples = new Map();
const players = new Map();
const party = ({ caller, display }) => (display && display !== caller ? `${display} (${caller})` : caller || t("unknownCaller"));
const sum = (call, name) => (call.audio?.[name] || 0) + (call.video?.[name] || 0);
const known = value => value !== null && value !== undefined;

export function remember({ calls }) {
	for (const id of samples.keys()) if (!calls.some(call => call.id === id)) samples.delete(id);
	for (const call of calls) {
		const kept = samples.get(call.id) || { kbps: [], lost: [], sum: sum(call, "lost") };
		const lost = sum(call, "lost");
		kept.kbps = [...kept.kbps, sum(call, "kbps")].slice(-SAMPLES);
		kept.lost = [...kept.lost, Math.max(0, lost - kept.sum)].slice(-SAMPLES);
		kept.sum = lost;
		samples.set(call.id, kept);
	}
}
// The state of the box: its kind, one line, and what to do.
export function stateOf({ calls, trunks, box }) {
	const told = (kind, name, values, ...more) => ({ kind, text: t(`state.${name}`, values), more: more.filter(Boolean).join(" ") });
	const stuck = calls.find(({ rtmp }) => rtmp?.problem && rtmp.state !== "publishing");
	if (stuck) return told("bad", "stuck", { n: calls.length }, code("code", stuck.rtmp.problem));
	if (calls.length) return told("live", "live", { n: calls.length });
	for (const { name, registration, peers = [] } of trunks) {
		if (registration?.state === "failed") return told("bad", "registration", { trunk: name }, code("code", registration.problem), registration.detail);
		const down = peers.length && peers.every(({ state }) => state === "down") && peers[0];
		if (down) return told("bad", "pbxDown", { trunk: name }, code("code", down.problem || "noAnswer"));
	}
	const full = box?.storage?.find(({ total, free }) => total && free < 1e9);
	if (full) return told("warn", "full", { place: full.path }, t("state.fullDo"));
	if (trunks.some(({ registration }) => registration?.state === "registering")) return told("warn", "registering");
	return trunks.length ? told("ok", "ready") : told("warn", "noTrunk");
}

export const dot = kind => h(`span.dot.${kind}`, { "aria-hidden": "true" });
const fact = (name, value) => (value || value === 0) && h("div", h("dt", t(name)), h("dd", value));

function trackWords(track) {
	if (!track) return t("lossNone");
	const parts = [CODECS[track.codec?.toUpperCase()] || track.codec, track.width && `${track.width}×${track.height}`,
		track.fps && t("fps", { n: Math.round(track.fps) }), track.kbps && bitrate(track.kbps)];
	return [parts.filter(Boolean).join(" · "), track.leftOut && h("span.notice", code("code", track.leftOut.problem, track.leftOut), " ", track.leftOut.detail)];
}
function streamWords({ rtmp }) {
	if (!rtmp) return [dot("ok"), t("rtmp.local")];
	return [dot(rtmp.state === "publishing" ? "live" : rtmp.problem ? "bad" : "warn"), code("rtmp", rtmp.state), h("span.quiet.line", rtmp.target),
		rtmp.problem && h("span.notice", code("code", rtmp.problem), " ", rtmp.detail, " ", rtmp.retrySeconds ? t("retry", { n: rtmp.retrySeconds }) : "")];
}
// A call: who, how good, where to; with `auto` its picture begins by itself.
export function callCard(call, auto) {
	const { kbps, lost } = samples.get(call.id) || { kbps: [0], lost: [0] };
	const who = party(call);
	const all = sum(call, "lost");
	const figure = (name, values, last, bad) => h("figure", spark(values, t(name), bad), h("figcaption", `${t(name)} `, h("b", last)));
	const hangUp = () => dialog(t("hangUpAsk", { who }), h("p", t("hangUpTells")), t("hangUp"), () => ask("/page/hangup", { call: call.id }),
		{ kind: "danger.filled" });
	return h("article.card.call", { "data-key": `call-${call.id}` },
		h("div.picture", { "data-keep": 1, "data-live": call.id, "data-auto": auto && "1" }),
		h("div.body",
			h("header", h("div", h("h3", who), h("p.quiet", t(call.direction === "out" ? "calledBy" : "calls", call))), h("span.time", clock(call.seconds))),
			h("dl.facts", fact("picture", trackWords(call.video)), fact("sound", trackWords(call.audio)),
				fact("lost", all ? `${percent(all / (all + sum(call, "received")))} (${num(all)})` : t("lossNone")),
				known(call.skewMs) && fact("skew", ms(call.skewMs)), fact("stream", streamWords(call)),
				fact("also", [call.recording && t("recorded"), call.pushes && t("pushes", { n: call.pushes }), call.players && t("players", { n: call.players })].filter(Boolean).join(" · "))),
			h("div.foot", figure("bitrate", kbps, bitrate(kbps.at(-1))), figure("lost", lost, t("perSecond", { n: lost.at(-1) }), true),
				h("button.danger", { onclick: hangUp }, t("hangUp")))));
}

function player(place, id) {
	let call, session, shown;
	const line = h("p.over", { role: "status" });
	const tell = (state, detail) => { line.textContent = state === "playing" ? "" : [code("live", state), detail].filter(Boolean).join(" "); };
	function idle() {
		const { video, audio, why } = call.live || {};
		const key = video || audio ? "can" : why || "noMedia";
		if (session || shown === key) return;
		shown = key;
		if (key !== "can") return place.replaceChildren(h("p", code("live", key)));
		place.replaceChildren(h("button.play", { onclick: () => start(true) }, t(video ? "watch" : "listen")));
		if (place.dataset.auto) start();
	}
	async function start(asked) {
		const video = h("video", { muted: true, playsinline: true, "aria-label": t("livePicture") });
		session = {};
		let heard = !!asked && !call.live.video;
		const mute = h("button", { onclick() { hear(!heard); } });
		const hear = is => {
			heard = is;
			session.sound?.(is);
			mute.textContent = t(is ? "soundOff" : "soundOn");
		};
		const end = h("button", { onclick() { stop(); delete place.dataset.auto; idle(); place.querySelector("button")?.focus(); } }, t("stopWatching"));
		tell("starting");
		place.replaceChildren(video, line, h("div.controls", call.live.audio && mute, end));
		if (asked) end.focus();
		try {
			const { play } = await import("./live.js");
			if (video.isConnected) session = play(video, { call: id, live: call.live, onState: tell }) || session;
			hear(heard);
		} catch {
			tell("failed");
		}
	}
	function stop() {
		session?.stop?.();
		session = shown = undefined;
	}
	return { place, stop, update(next) { call = next; idle(); } };
}
// Gives the calls of a part of the page their players, and ends those that are gone.
export function tendPlayers(root, calls) {
	for (const [id, tended] of players) if (!tended.place.isConnected) {
		tended.stop();
		players.delete(id);
	}
	for (const place of root.querySelectorAll("[data-live]")) {
		const id = place.dataset.live;
		const call = calls.find(one => String(one.id) === id);
		if (!players.has(id)) players.set(id, player(place, id));
		if (call) players.get(id).update(call);
	}
}

export const registrationWords = ({ state, user, problem, detail }) => [dot({ registered: "ok", failed: "bad" }[state] || "warn"), code("registration", state),
	user && h("span.quiet", ` ${user}`), problem && h("span.notice", code("code", problem), " ", detail)];

export const transportOf = ({ transport }) => (/tls/i.test(transport) ? "TLS" : "UDP, TCP");

function trunkCard(trunk) {
	return h("article.card", { "data-key": `trunk-${trunk.name}` },
		h("header", h("h3", trunk.name), h("a", { href: `#settings/trunks.${encodeURIComponent(trunk.name)}`, "aria-label": t("editTrunk", { trunk: trunk.name }) }, t("edit"))),
		h("dl.facts", trunk.registration && fact("registration", registrationWords(trunk.registration)),
			(trunk.peers || []).map(peer => fact("pbx", [dot({ up: "ok", down: "bad" }[peer.state]), `${peer.address} `,
				h("span.quiet", code("peer", peer.state), known(peer.rttMs) ? ` ${ms(peer.rttMs)}` : "")])),
			fact("takesCallsAt", [t("port", { port: String(trunk.port), transport: transportOf(trunk) }), trunk.waiting && h("span.notice", trunk.waiting)]),
			fact("callsTitle", trunk.limit ? t("ofMost", { n: trunk.calls, most: trunk.limit }) : num(trunk.calls))));
}
function historyTable(history) {
	if (!history.length) return h("p.quiet", t("historyNone"));
	return h("table", { role: "table" },
		h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ["began", "who", "duration", "ended"].map(key => h("th", { role: "columnheader", scope: "col" }, t(key))))),
		h("tbody", { role: "rowgroup" }, history.map(call => {
			const cell = (...inside) => h("td", { role: "cell" }, inside);
			return h("tr", { role: "row" }, cell(when(call.began)),
				cell(h("b", party(call)), h("span.quiet", ` → ${call.callee} · ${call.trunk}`)), cell(clock(call.seconds)),
				cell(code("end", call.end), call.lost > 0 && h("span.quiet", ` · ${t("packetsLost", { n: call.lost })}`), call.times > 1 && h("span.quiet", ` · ${t("times", { n: call.times })}`),
					has(`end.${call.end}`) && h("span.quiet.line", call.detail)));
		})));
}
function boxCard({ box, uptime }) {
	return h("article.card", h("dl.facts",
		(box?.storage || []).map(({ name, total, free }) => total && h("div", h("dt", code("storage", name)), h("dd",
			h("meter", { max: total, value: total - free, "aria-label": code("storage", name) }), t("freeOf", { free: bytes(free), total: bytes(total) })))),
		known(box?.temperature) && fact("temperature", unit(box.temperature, "celsius")),
		known(box?.load) && fact("load", num(box.load, 2)),
		box?.memory && fact("memory", t("freeOf", { free: bytes(box.memory.available), total: bytes(box.memory.total) })),
		known(box?.uptime) && fact("uptime", span(box.uptime)), known(uptime) && fact("runningFor", span(uptime))));
}
function trendCard({ every, kbps, lost }) {
	const n = Math.max(1, Math.round(kbps.length * every / 60));
	const one = (name, values, last, bad) => h("figure.trend", h("figcaption", `${t(name)} `, h("b", last)), spark(values, t(name), bad));
	return h("article.card", one("bitrate", kbps, bitrate(kbps.at(-1))), one("lost", lost, num(lost.at(-1)), true), h("p.quiet", t("lastMinutes", { n })));
}
export function drawNow(root, now) {
	const { calls, trunks, history, trend } = now;
	const state = stateOf(now);
	const section = (key, ...inside) => h("section", { "data-key": key }, h("h2", t(key)), inside);
	morph(root, [
		h(`section.status.${state.kind}`, { "data-key": "status" }, dot(state.kind), h("div", h("h1", { tabindex: -1 }, state.text), state.more && h("p.quiet", state.more))),
		h("section", { "data-key": "calls" }, h("h2.unseen", t("callsTitle")), calls.length ? calls.map(call => callCard(call)) :
			h("div.card.empty", h("p", t("callsNone")), h("p.quiet", t("callsNoneDo")))),
		section("trunks", h("div.grid", trunks.map(trunkCard))),
		section("history", historyTable(history || [])),
		section("box", h("div.grid.two", trend?.kbps?.length ? trendCard(trend) : "", boxCard(now))),
	]);
	tendPlayers(root, calls);
}
