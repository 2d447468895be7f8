// Every setting of the file in forms, made from one table; and the care of the box.
import { alert, ask, at, busy, dialog, expected, field, h, has, newPassword, put, secretInput, showProblems, t, tryPanel } from "./ui.js";

// Groups of fields, key or key:kind; `*` is for those who know. A kind with bars is a choice.
const TRUNK = {
	pbx: "proxyIp localPort:num allow:lines transport:udp|tcp|tls* remotePort:num* targets:lines* outboundProxy* domain* ping:num* visibleName* caFile* certificate* key*",
	registration: "register.login register.password:secret register.expires:num* register.authenticationName* register.registrar* register.contact*",
	stream: "url sink:youtube|twitch|facebook|wowza|srs|nginx-rtmp|mediamtx streamName record:true|false",
	codecs: "codecs:words srtp:off|tls|optional|required* sdpParams:lines* sdp:area*",
	callsTitle: "calls:num mediaTimeout:num dtmf:rfc2833|info* sessionTimer:off* sessionTimer.expires:num* sessionTimer.min:num* abuse.perSource:num* abuse.total:num* rules:rules*",
};
const SECTIONS = {
	recording: "recording.directory recording.all:true|false recording.minFreeMiB:num recording.maxMiB:num recording.whenFull:oldest|stop recording.rotation* recording.template*",
	rtmp: "rtmp.listen rtmp.caFile",
	media: "media.address media.ports",
	limits: "limits.calls:num limits.memoryMiB:num",
	files: "files.directory state.directory",
	page: "page.listen page.allow:lines page.tls.listen* page.tls.certificate* page.tls.key*",
	rest: "rest.listen rest.password:secret rest.tls.listen* rest.tls.certificate* rest.tls.key*",
	hooks: "hooks.url hooks.username hooks.password:secret hooks.onCall:notify|ask hooks.onError:LOG|FAIL hooks.methods:words* hooks.appKey* hooks.timeoutSeconds:num* hooks.retrySeconds:num* hooks.connections:num* hooks.caFile*",
};
const TRUNKS = 16;

// What is saved and what it is to become; outlives every view.
export const state = { restart: [] };
const clone = value => JSON.parse(JSON.stringify(value, (key, inner) => (inner === null ? undefined : inner)));
export const unsaved = () => !!state.draft && JSON.stringify(state.draft) !== JSON.stringify(state.base);
export const trunks = () => (state.draft.trunks ??= {});
export async function load() {
	if (unsaved()) return;
	const told = await ask("/page/settings");
	Object.assign(state, told, { base: clone(told.settings), draft: clone(told.settings), renamed: {}, problems: told.problems || [] });
}
const draft = () => ({ settings: state.draft, revision: state.revision, renamed: state.renamed });
// Sends the draft; answers with problems come back as any other.
export async function send(what, body = draft()) {
	try {
		return await ask(`/page/${what}`, body, { patience: 30000 });
	} catch (error) {
		if (error.status === 422) return error.body;
		throw error;
	}
}
export async function save() {
	const told = await send("settings/save");
	if (told.problems?.length) return told;
	state.restart = [...new Set([...state.restart, ...(told.restart || [])])];
	state.draft = null;
	await load();
	return told;
}
export const tryOf = (kind, trunk) => tryPanel(`/page/try/${kind}`, t(`try.${kind}`), () => ({ ...draft(), trunk }));

// Label and help of a setting: by its whole name, or the end of it.
function wordsFor(name) {
	while (!has(`f.${name}`) && name.includes(".")) name = name.slice(name.indexOf(".") + 1);
	return t(`f.${name}`).split(" :: ");
}
// The form field of one setting; `again` draws the form anew.
export function setting(keys, name, kind, again, label) {
	const value = at(state.draft, keys) ?? undefined;
	const [usualLabel, help] = wordsFor(name);
	const { trunk, trunks: all } = state.defaults;
	const usual = keys[0] === "trunks" ? at(trunk || all["*"], keys.slice(2)) : at(state.defaults, keys);
	const placeholder = kind !== "off" && usual && [usual].flat().join(", ");
	const plain = { autocomplete: "off", autocapitalize: "none", spellcheck: "false", placeholder };
	const write = next => put(state.draft, keys, next === "" || next?.length === 0 ? undefined : next);
	const lines = text => text.split("\n").map(line => line.trim()).filter(Boolean);
	let input;
	if (kind.includes("|") || kind === "off") {
		const words = word => (has(`o.${word}`) ? t(`o.${word}`) : word);
		input = h("select", { onchange() { write(input.value); if (kind === "off") again(); } },
			h("option", { value: "" }, placeholder ? t("usual", { value: words(placeholder) }) : t(kind === "off" ? "on" : "notSet")), kind.split("|").map(word => h("option", { value: word }, words(word))));
		const found = [...input.options].find(option => option.value.toLowerCase() === String(value).toLowerCase());
		input.value = found?.value ?? "";
	} else if (kind === "lines" || kind === "area" || kind === "rules") {
		input = h("textarea", { ...plain, rows: kind === "lines" ? 3 : 6, oninput() {
			if (kind !== "rules") return write(kind === "area" ? input.value : lines(input.value));
			try { write(lines(input.value).map(line => JSON.parse(line))); } catch { write([input.value]); }
		} });
		input.value = Array.isArray(value) ? value.map(line => (typeof line === "string" ? line : JSON.stringify(line))).join("\n") : value ?? "";
	} else if (kind === "words") {
		input = h("input", { ...plain, value: [value ?? []].flat().join(", "), oninput: () => write(input.value.split(/[\s,]+/).filter(Boolean)) });
	} else if (kind === "secret" || value?.secret) {
		const was = at(state.base, keys)?.secret && value ? { secret: true } : "";
		input = secretInput({ ...plain, autocomplete: "new-password", placeholder: was ? t("secretKept") : null, oninput: () => write(input.value || was) });
		if (typeof value === "string") input.value = value;
		if (was) input.wrap.append(h("button.inside", { onclick() { write(""); again(keys); } }, t("remove")));
	} else {
		input = h("input", { ...plain, value: value ?? "", inputmode: kind === "num" ? "numeric" : null, oninput: () => write(input.value.trim()) });
	}
	return field(label || usualLabel, input, { help: !label && help, path: keys.join("."), wide: input.rows });
}
// A group of fields; those for the knowing are folded away.
export function group(title, line, start, again) {
	const of = more => line.split(" ").filter(entry => entry.endsWith("*") === more).map(entry => {
		const [name, kind = "text"] = entry.replace("*", "").split(":");
		return setting([...start, ...name.split(".")], name, kind, again);
	});
	const [plain, more] = [of(false), of(true)];
	return h("fieldset.group", title && h("legend", t(title)), plain.length && h("div.fields", plain),
		more.length ? h("details", { "data-group": title }, h("summary", t("more")), h("div.fields", more)) : "");
}

export function settingsView() {
	const root = h("div.settings");
	const form = h("form.stack", { novalidate: true, oninput: () => changed(), onsubmit(event) { event.preventDefault(); check(true); } });
	const menu = h("nav.side", { "aria-label": t("nav.settings") });
	const place = alert();
	const bar = h("div.bar");
	const first = () => `trunks.${Object.keys(trunks())[0] ?? ""}`;
	const where = () => decodeURIComponent(location.hash.split("/").slice(1).join("/")) || first();
	const link = target => `#settings/${encodeURIComponent(target)}`;
	const show = target => { location.hash = link(target); };
	let timer;

	function sectionOf(path) {
		const name = Object.keys(trunks()).filter(one => `${path}.`.startsWith(`trunks.${one}.`)).sort((a, b) => b.length - a.length)[0];
		const [start] = path.split(".");
		return name ? `trunks.${name}` : start === "state" ? "files" : start in SECTIONS ? start : first();
	}
	function changed() {
		drawBar();
		clearTimeout(timer);
		timer = setTimeout(check, 600);
	}
	// Has the box look at the draft: quietly while it changes, or to go on to saving.
	async function check(go) {
		clearTimeout(timer);
		let told;
		await busy(bar, go ? place : h("p"), async () => { told = await send("settings/check"); });
		if (!told) return;
		const problems = state.problems = told.problems || [];
		if (go && problems.length && !problems.some(({ field: path }) => sectionOf(path) === where())) {
			history.replaceState(null, "", link(sectionOf(problems[0].field)));
			draw();
		} else drawMenu();
		const others = showProblems(form, problems, go);
		if (!go) return;
		if (!problems.length) return review(told);
		place.replaceChildren(t("problems", { n: problems.length }), h("ul", others.map(problem => h("li",
			h("a", { href: link(sectionOf(problem.field)) }, problem.field), " ", expected(problem)))));
	}
	function review({ preview = [], restart = [], notices = [] }) {
		const near = preview.filter((line, index) => preview.slice(Math.max(0, index - 2), index + 3).some(({ kind }) => kind !== "same"));
		dialog(t("reviewTitle"), [
			h("div.diff", { tabindex: 0, role: "region", "aria-label": t("reviewTitle") }, near.map(({ kind, text }) => h(`div.${kind}`, `${{ add: "+", remove: "−", same: " " }[kind] || "⋯"} ${text || ""}`))),
			h("p.quiet", restart.length ? t("needsRestart", { what: restart.join(", ") }) : t("atOnce")), notices.map(text => h("p.hint", text))],
		t("save"), async () => {
			const { problems } = await save();
			if (problems?.length) return void check(true);
			draw();
			if (bar.hidden) drawBar(t("saved"));
		});
	}
	function drawBar(words) {
		const dirty = unsaved();
		bar.hidden = !dirty && !state.restart.length && !words;
		bar.replaceChildren(h("p", { role: "status" }, words || t(dirty ? "unsaved" : "restartWaits", { what: state.restart.join(", ") })),
			dirty ? h("div.actions", h("button.plain", { onclick() { state.draft = clone(state.base); state.renamed = {}; state.problems = []; draw(); } }, t("discard")),
				h("button.filled", { onclick: () => check(true) }, t("review"))) : state.restart.length ? restartButtons() : "");
	}
	function again(keys) {
		const open = [...form.querySelectorAll("details[open]")].map(({ dataset }) => dataset.group);
		drawForm();
		for (const name of open) form.querySelector(`details[data-group="${name}"]`).open = true;
		if (keys) form.querySelector(`[data-path="${CSS.escape(keys.join("."))}"]`).focus();
		changed();
	}
	function rename(name) {
		const input = h("input", { value: name, maxlength: 64 });
		dialog(t("renameTitle", { trunk: name }), field(t("trunkName"), input), t("rename"), place => {
			const next = input.value.trim();
			if (!next || (next !== name && next in trunks())) {
				place.textContent = t("trunkNameTaken");
				return false;
			}
			state.draft.trunks = Object.fromEntries(Object.entries(trunks()).map(([old, value]) => [old === name ? next : old, value]));
			const origin = state.renamed[name] ?? name;
			delete state.renamed[name];
			if (origin !== next && at(state.base, ["trunks", origin])) state.renamed[next] = origin;
			show(`trunks.${next}`);
			changed();
		});
	}
	function remove(name) {
		dialog(t("removeTitle", { trunk: name }), h("p", t("removeTells")), t("remove"), () => {
			delete trunks()[name];
			show(first());
			changed();
		}, { kind: "danger.filled" });
	}
	function add() {
		let [n, port] = [1, 40000];
		while (`trunk${n}` in trunks()) n += 1;
		while (Object.values(trunks()).some(({ localPort }) => Number(localPort) === port)) port += 2;
		trunks()[`trunk${n}`] = { localPort: String(port) };
		show(`trunks.trunk${n}`);
		changed();
	}
	function drawMenu() {
		const item = (target, label) => {
			const n = state.problems.filter(({ field: path }) => sectionOf(path) === target).length;
			return h("a", { href: link(target), "aria-current": target === where() && "true" }, label,
				n ? h("span.count", h("span.unseen", t("problems", { n })), h("span", { "aria-hidden": "true" }, n)) : "");
		};
		const names = Object.keys(trunks());
		menu.replaceChildren(h("h2", t("trunks")), ...names.map(name => item(`trunks.${name}`, name)),
			names.length < TRUNKS ? h("button.link", { onclick: add }, t("addTrunk")) : "",
			h("h2", t("box")), ...Object.keys(SECTIONS).map(name => item(name, t(`section.${name}`))));
	}
	function drawForm() {
		const name = where().startsWith("trunks.") && where().slice(7);
		const title = name in trunks() ? t("trunkTitle", { trunk: name }) : t(where() in SECTIONS ? `section.${where()}` : "nav.settings");
		form.replaceChildren(h("header.head", h("h1", { tabindex: -1 }, title), name in trunks() &&
			h("div.actions", h("button.plain", { onclick: () => rename(name) }, t("rename")), h("button.plain", { onclick: () => remove(name) }, t("remove")))), place);
		if (name in trunks()) {
			form.append(...Object.entries(TRUNK).map(([key, line]) => group(key, line, ["trunks", name], again)),
				h("div.group.fields", tryOf("pbx", name), tryOf("rtmp", name)));
		} else if (where() in SECTIONS) form.append(group("", SECTIONS[where()], [], again));
		showProblems(form, state.problems);
	}
	function draw() {
		place.textContent = state.writable === false ? t("code.notWritable") : "";
		drawMenu();
		drawForm();
		drawBar();
	}
	return {
		root,
		async begin() {
			await load();
			root.replaceChildren(menu, h("div.content", form, bar));
			draw();
		},
		move() {
			draw();
			form.querySelector("h1").focus();
			window.scrollTo(0, 0);
		},
	};
}

function restartButtons() {
	const place = h("p.quiet", { role: "status" });
	const one = when => {
		const button = h("button", { onclick: () => busy(button, place, async () => {
			await ask("/page/restart", { when });
			state.restart = [];
			place.textContent = t(`restarting.${when}`);
		}) }, t(`restart.${when}`));
		return button;
	};
	return h("div.actions", one("idle"), one("now"), place);
}
export function careView(version) {
	const card = (name, ...rest) => h("section.card.stack", h("h2", t(name)), h("p.quiet", t(`${name}Tells`, { version })), rest);
	const form = (name, work, ...inside) => {
		const place = alert();
		const good = h("p.right", { role: "status" });
		const go = h("button", { type: "submit" }, t(`${name}Go`));
		return card(name, h("form.stack", { novalidate: true, onsubmit(event) {
			event.preventDefault();
			good.textContent = "";
			busy(go, place, async () => { good.textContent = (await work(place)) || ""; });
		} }, inside, h("div.actions", go), place, good));
	};
	const link = (name, props) => h("div.actions", h("a.button", props, t(`${name}Go`)));
	const [backup, old] = [0, 0].map(() => secretInput({ autocomplete: "current-password" }));
	const fresh = newPassword(t("newPassword"));
	const file = h("input", { type: "file", accept: ".yml,.yaml" });
	const name = `trunkcast-${new Date().toISOString().slice(0, 10)}`;
	return { root: h("div.stack", h("h1", { tabindex: -1 }, t("nav.care")), h("div.grid.two",
		form("backup", async () => {
			const url = URL.createObjectURL(await ask("/page/backup", { password: backup.value }, { raw: true }));
			h("a", { href: url, download: `${name}.yml` }).click();
			setTimeout(() => URL.revokeObjectURL(url), 10000);
			backup.value = "";
			return t("backupDone");
		}, field(t("password"), backup)),
		form("restore", async place => {
			if (!file.files.length) return void (place.textContent = t("noFile"));
			const { problems = [], restart = [] } = await send("restore", { text: await file.files[0].text() });
			if (problems.length) return void place.replaceChildren(t("restoreBad"), h("ul", problems.slice(0, 20).map(problem => h("li", `${problem.line}: ${problem.field} `, expected(problem)))));
			Object.assign(state, { draft: null, restart });
			return restart.length ? t("needsRestart", { what: restart.join(", ") }) : t("restoreDone");
		}, field(t("restoreFile"), file)),
		form("change", async () => {
			if (!fresh.good()) throw { body: { problem: "passwordTooShort" } };
			await ask("/page/password/change", { old: old.value, new: fresh.input.value });
			old.value = fresh.input.value = "";
			return t("changed");
		}, field(t("oldPassword"), old), fresh.part),
		card("restart", restartButtons()),
		card("diagnostics", link("diagnostics", { href: "/page/diagnostics", download: `${name}.txt` })),
		card("about", link("about", { href: "#guide" })))) };
}
