// What every view is made of: elements, words, numbers, requests, fields and dialogs.
// Text enters the page as text nodes only: the names of callers are hostile.
import { table } from "./words.js";

export const lang = { now: localStorage.lang || (/^(ru|be|uk|kk)/.test(navigator.language) ? "ru" : "en") };

const words = {};
let family = "";
for (const line of table.trim().split("\n")) {
	const [key, en, ru = en] = line.split("~");
	if (key[0] === "#") family = key.slice(1) && `${key.slice(1)}.`;
	else words[family + key] = { en, ru };
}
export const has = key => key in words;
// The words of a key with `{name}` filled in.
export function t(key, values = {}) {
	let text = words[key]?.[lang.now] ?? key;
	if (text.includes("|")) {
		const forms = text.split("|");
		const place = ["one", "few", "many"].indexOf(new Intl.PluralRules(lang.now).select(values.n));
		text = forms[place < 0 ? forms.length - 1 : Math.min(place, forms.length - 1)];
	}
	return text.replace(/\{(\w+)\}/g, (whole, name) => {
		const value = values[name] ?? whole;
		return typeof value === "number" ? num(value) : value;
	});
}
// The words of a code of the box; an unknown one stands for itself.
export const code = (of, name, values) => (has(`${of}.${name}`) ? t(`${of}.${name}`, values) : String(name ?? ""));

const format = (value, options) => new Intl.NumberFormat(lang.now, options).format(value);
export const num = (value, digits = 0) => format(value, { maximumFractionDigits: digits });
export const unit = (value, name, digits = 0) => format(value, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits });
export const bitrate = kbps => (kbps >= 1000 ? `${num(kbps / 1000, 1)} ${t("mbps")}` : `${num(kbps)} ${t("kbps")}`);
export const bytes = value => (value >= 1e9 ? unit(value / 1e9, "gigabyte", 1) : unit(value / 1e6, "megabyte"));
export const ms = value => unit(Math.abs(value), "millisecond");
export const percent = value => format(value, { style: "percent", maximumFractionDigits: value < 0.1 ? 1 : 0 });
// 3:07 or 1:02:03.
export function clock(seconds = 0) {
	const two = value => String(Math.floor(value)).padStart(2, "0");
	const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
	return (hours ? `${hours}:${two(minutes)}` : minutes) + `:${two(seconds % 60)}`;
}
// A long time in its two largest units.
export function span(seconds) {
	const parts = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
	const first = parts.findIndex(([, size]) => seconds >= size || size === 1);
	return parts.slice(first, first + 2).map(([name, size], place) => unit(Math.floor((place ? seconds % parts[first][1] : seconds) / size), name)).join(" ");
}
export const when = unix => {
	const date = new Date(unix * 1000);
	const day = date.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
	return new Intl.DateTimeFormat(lang.now, { ...day, hour: "2-digit", minute: "2-digit" }).format(date);
};

// An element: `tag.class`, perhaps attributes and handlers, then children; what is no node becomes text.
export function h(what, ...children) {
	const [tag, ...classes] = what.split(".");
	const made = /^(svg|path)$/.test(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
	if (tag === "button") made.type = "button";
	if (classes.length) made.setAttribute("class", classes.join(" ").trim());
	const props = children[0]?.constructor === Object ? children.shift() : {};
	for (const [name, value] of Object.entries(props)) {
		if (value === undefined || value === null || value === false) continue;
		if (/^(on|value$|checked$|muted$)/.test(name)) made[name] = value;
		else made.setAttribute(name, value === true ? "" : value);
	}
	made.append(...children.flat(9).filter(Boolean));
	return made;
}
// Makes the children of `parent` like those wanted; what is alike stays, with focus and players.
export function morph(parent, wanted) {
	const keyOf = node => node.dataset?.key;
	const keys = new Set(wanted.map(keyOf));
	const keyed = {};
	for (const child of [...parent.childNodes]) {
		const key = keyOf(child);
		if (key && !keys.has(key)) child.remove();
		else if (key) keyed[key] = child;
	}
	let place = parent.firstChild;
	for (const next of wanted) {
		const key = keyOf(next);
		const found = key ? keyed[key] : place && !keyOf(place) && place.nodeName === next.nodeName && place;
		if (found && found === place) place = place.nextSibling;
		else parent.insertBefore(found || next, place);
		if (found) alike(found, next);
	}
	while (place) {
		const next = place.nextSibling;
		place.remove();
		place = next;
	}
}
function alike(old, next) {
	if (old.nodeType === 3) {
		if (old.data !== next.data) old.data = next.data;
		return;
	}
	for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
	for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
	old.onclick = next.onclick;
	if (old.value !== next.value) old.value = next.value;
	if (!old.dataset.keep) morph(old, [...next.childNodes]);
}

// What the box answered with, where that was no success.
export class Refused extends Error {
	constructor(status, body) {
		super(body.problem);
		Object.assign(this, { status, body });
	}
}
export const wordsOf = ({ status, body }) => (!body ? t("code.offline") :
	[status === 401 && body.problem === "wrongPassword" ? t("wrongPassword") : code("code", body.problem || "other", { n: body.seconds }),
		body.detail, ...(body.problems || []).map(problem => `${problem.field}: ${expected(problem)}`)].filter(Boolean).join(" "));
export const on = { signedOut() {} };
// Asks the box; a body makes it a POST. Throws `Refused`, or what fetch throws without an answer.
export async function ask(path, body, { raw, patience = 10000 } = {}) {
	const post = body !== undefined && { method: "POST", headers: { "Content-Type": "application/json", "X-Trunkcast": "1" }, body: JSON.stringify(body) };
	const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(patience), ...post });
	if (answer.ok && raw) return answer.blob();
	const told = await answer.json().catch(() => ({}));
	if (answer.ok) return told;
	if (answer.status === 401 && told.problem === "signedOut") on.signedOut();
	throw new Refused(answer.status, told);
}

let speaker;
export function say(text) {
	speaker ??= document.body.appendChild(h("div.unseen", { role: "status" }));
	speaker.textContent = text;
}
export const alert = () => h("div.wrong", { role: "alert" });
export const submit = text => h("button.filled", { type: "submit" }, text);

let fields = 0;
// An input with its label, help and a place for what is wrong.
export function field(label, input, { help, path, wide } = {}) {
	const id = `f${++fields}`;
	input.id = id;
	input.setAttribute("aria-describedby", `${id}h ${id}p`);
	if (path) input.dataset.path = path;
	input.addEventListener("input", () => wrong(input));
	return h(`div.field${wide ? ".wide" : ""}`, h("label", { for: id }, label), input.wrap || input,
		h("p.quiet", { id: `${id}h` }, help), h("p.wrong", { id: `${id}p` }));
}
export function wrong(input, text = "") {
	document.getElementById(`${input.id}p`).textContent = text;
	input[text ? "setAttribute" : "removeAttribute"]("aria-invalid", "true");
}
// Puts problems of the box beside their fields; returns those that have none here.
export function showProblems(root, problems, focus) {
	const inputs = [...root.querySelectorAll("[data-path]")];
	const others = [];
	const beside = new Map();
	for (const problem of problems) {
		const holds = ({ dataset: { path } }) => `${problem.field}.`.startsWith(`${path}.`) || problem.field.startsWith(`${path}[`);
		const input = inputs.filter(holds).sort((a, b) => b.dataset.path.length - a.dataset.path.length)[0];
		if (!input) others.push(problem);
		else if (!beside.has(input)) beside.set(input, expected(problem));
	}
	for (const input of inputs) wrong(input, beside.get(input));
	const first = focus && inputs.find(input => beside.has(input));
	if (first) {
		first.closest("details")?.setAttribute("open", "");
		first.focus();
	}
	return others;
}
export const expected = ({ expected: text, ru }) => (lang.now === "ru" && ru || text).replace(/^./, first => first.toUpperCase());
export function secretInput(props) {
	const input = h("input", { type: "password", autocomplete: "off", maxlength: 128, ...props });
	const show = h("button.inside", { "aria-pressed": "false", onclick() {
		const shown = input.type === "password";
		input.type = shown ? "text" : "password";
		show.setAttribute("aria-pressed", shown);
	} }, t("show"));
	input.wrap = h("div.with", input, show);
	return input;
}
export function newPassword(label) {
	const bar = h("meter", { max: 3, "aria-hidden": "true" });
	const help = h("p.quiet", { role: "status" }, t("strength.0"));
	const input = secretInput({ autocomplete: "new-password", oninput() {
		const text = input.value;
		const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\d/, /[^\p{L}\d]/u].filter(kind => kind.test(text)).length;
		const score = new Set(text).size + kinds * 2 + (text.length > 15 ? 4 : 0);
		bar.value = [...text].length < 8 ? 0 : score < 12 ? 1 : score < 17 ? 2 : 3;
		help.textContent = t(`strength.${bar.value}`);
	} });
	const part = field(label, input);
	part.append(bar, help);
	return { input, part, good: () => bar.value > 0 };
}
// Runs `work` with the button busy, and tells in `place` what went wrong.
export async function busy(button, place, work) {
	if (button.ariaBusy === "true") return;
	button.ariaBusy = "true";
	place.replaceChildren();
	try {
		await work();
	} catch (error) {
		place.textContent = wordsOf(error);
	} finally {
		button.ariaBusy = "false";
	}
}
// A dialog that does `work` when it is confirmed.
export function dialog(title, content, label, work, { kind = "filled" } = {}) {
	const place = alert();
	const go = h(`button.${kind}`, { onclick: () => busy(go, place, async () => { if (await work(place) !== false) box.close(); }) }, label);
	const box = h("dialog", { "aria-labelledby": "dt", onclose: () => box.remove() }, h("h2", { id: "dt" }, title), content, place,
		h("div.actions", h("button.plain", { onclick: () => box.close() }, t("cancel")), go));
	document.body.append(box);
	box.showModal();
}
export function spark(values, label, bad) {
	const top = Math.max(bad ? 10 : 1, ...values);
	const step = 100 / Math.max(1, values.length - 1);
	const line = `M${values.map((value, place) => `${(place * step).toFixed(1)} ${(27 - (value / top) * 25).toFixed(1)}`).join("L")}`;
	return h(`svg.spark${bad ? ".bad" : ""}`, { viewBox: "0 0 100 28", preserveAspectRatio: "none", role: "img", "aria-label": label },
		h("path.area", { d: `${line}L100 28L0 28Z` }), h("path.line", { d: line }));
}
export function tryPanel(path, label, body) {
	const list = h("ol.steps", { "aria-live": "polite" });
	const place = alert();
	const button = h("button", { onclick: () => busy(button, place, async () => {
		list.replaceChildren(h("li.quiet", t("trying")));
		const told = await ask(path, body(), { patience: 60000 }).finally(() => list.replaceChildren());
		list.append(...(told.steps || []).map(step => h(`li.${step.ok ? "good" : "bad"}`,
			h("span.mark", { role: "img", "aria-label": t(step.ok ? "worked" : "failed") }, step.ok ? "✓" : "✗"),
			h("div", h("b", code("step", step.step)), step.ms && h("span.quiet", ` ${ms(step.ms)}`),
				step.problem && h("p", code("code", step.problem, step)), step.note && h("p.quiet", code("note", step.note, step)), step.detail && h("p.quiet", step.detail)))),
		told.ok ? h("li.good", t("allGood")) : "");
	}) }, label);
	return h("div.try", button, place, list);
}
export const at = (object, keys) => keys.reduce((value, key) => value?.[key], object);
// Puts a value there; `undefined` takes it away, with the objects that it leaves empty.
export function put(object, [key, ...rest], value) {
	if (rest.length) {
		if (typeof object[key] !== "object" || !object[key]) {
			if (value === undefined) return;
			object[key] = {};
		}
		put(object[key], rest, value);
		if (!Object.keys(object[key]).length) delete object[key];
	} else if (value === undefined) delete object[key];
	else object[key] = value;
}
