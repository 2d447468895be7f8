// The first visit: a password, then the guide to the first call; and signing in later.
import { alert, ask, busy, expected, field, h, morph, newPassword, put, secretInput, showProblems, submit, t, wordsOf } from "./ui.js";
import { callCard, registrationWords, tendPlayers, transportOf } from "./now.js";
import { group, load, save, send, setting, state, trunks, tryOf } from "./settings.js";

const gate = (name, go, place, work, ...inside) => h("div.gate", h("form.card.stack", { onsubmit(event) { event.preventDefault(); work(); } },
	h("img", { src: "/icon.svg", alt: "", width: 48, height: 48 }), h("h1", { tabindex: -1 }, t(`${name}Title`)), h("p.quiet", t(`${name}Tells`)), inside, place, go));

export function passwordView(done) {
	const { input, part, good } = newPassword(t("password"));
	const place = alert();
	const go = submit(t("setPassword"));
	return gate("welcome", go, place, () => {
		if (good()) return busy(go, place, async () => done(await ask("/page/password", { password: input.value })));
		place.textContent = t("code.passwordTooShort");
		input.focus();
	}, part);
}
export function loginView(done) {
	const input = secretInput({ autocomplete: "current-password", required: true });
	const place = alert();
	const go = submit(t("signIn"));
	return gate("signIn", go, place, () => busy(go, place, async () => {
		try {
			done(await ask("/page/login", { password: input.value }));
		} catch (error) {
			input.select();
			let left = error.body?.seconds;
			if (!left) throw error;
			go.disabled = true;
			const count = setInterval(() => {
				left -= 1;
				place.textContent = left > 0 ? t("code.tooManyTries", { n: left }) : "";
				go.disabled = left > 0;
				if (left <= 0 || !go.isConnected) clearInterval(count);
			}, 1000);
			throw error;
		}
	}), field(t("password"), input));
}

const CLOUDS = { youtube: "rtmp://a.rtmp.youtube.com/live2", twitch: "rtmp://live.twitch.tv/app", facebook: "rtmps://live-api-s.facebook.com:443/rtmp" };
const PRESETS = [...Object.keys(CLOUDS), "nginx-rtmp", "server", "box"];
// Where the guide is outlives a change of language and a new sign-in.
const guide = { step: 1 };

// The guide: PBX, stream, first call.
export function guideView() {
	const root = h("div.guide");
	const place = alert();
	const trunk = () => trunks()[guide.name];
	const keys = name => ["trunks", guide.name, ...name.split(".")];
	const one = (name, kind = "text", label) => setting(keys(name), name, kind, () => draw(true), label);
	let [body, last] = [];

	const choice = (name, value, help, pick) => h("label.choice", h("input", { type: "radio", name, value, checked: guide[name] === value, onchange() {
		guide[name] = value;
		pick(value);
		draw(true);
	} }), h("span", h("b", t(`${name}.${value}`)), help && h("span.quiet", help)));

	function pbxStep() {
		const pick = value => {
			guide.kept = trunk().register || guide.kept;
			put(state.draft, keys("register"), value === "trunk" ? undefined : guide.kept || { login: "" });
		};
		const number = guide.how === "register";
		return [
			h("fieldset.choices", h("legend", t("guide.how")), ["trunk", "register"].map(value => choice("how", value, t(`how.${value}.help`), pick))),
			one("proxyIp"), number && [one("register.login"), one("register.password", "secret")],
			group("", `transport:udp|tcp|tls* remotePort:num* localPort:num*${number ? " register.authenticationName*" : ""}`, ["trunks", guide.name], () => draw(true)),
			tryOf("pbx", guide.name)];
	}
	function streamStep() {
		const cloud = CLOUDS[guide.to];
		const pick = value => Object.assign(trunk(), { url: CLOUDS[value], sink: CLOUDS[value] || value === "nginx-rtmp" ? value : undefined, streamName: undefined });
		return [
			h("fieldset.choices.three", h("legend", t("guide.where")), PRESETS.map(value => choice("to", value, t(`to.${CLOUDS[value] ? "cloud" : value}.help`), pick))),
			cloud && [one("streamName", "secret", t("guide.key")), h("p.hint", t("guide.cloud"))],
			!cloud && guide.to !== "box" && [one("url"), one("streamName")],
			guide.to !== "box" && tryOf("rtmp", guide.name)];
	}
	function callStep() {
		const { calls = [], trunks: now = [] } = last || {};
		const found = now.find(({ name }) => name === guide.name) || {};
		const row = (name, value) => h("div", h("dt", name), h("dd", h("b", value)));
		const number = trunk().register?.login;
		return [
			h("p", number ? t("guide.callNumber", { number }) : t("guide.callRoute")),
			h("dl.facts.card", number ? row(t("f.register.login").split(" :: ")[0], number) : [row(t("guide.address"), location.hostname), row(t("guide.port"), String(found.port ?? trunk().localPort)),
				row(t("f.transport"), transportOf(found.port ? found : trunk()))]),
			found.registration && h("p", registrationWords(found.registration)),
			h("p.arrived", { role: "status" }, calls.length ? t("guide.arrived") : [h("span.dot.pulse", { "aria-hidden": "true" }), t("guide.waiting")]),
			...calls.slice(0, 4).map(call => callCard(call, true))];
	}
	const next = go => busy(go, place, async () => {
		const told = await (guide.step === 2 ? save() : send("settings/check"));
		const others = showProblems(root, told.problems || [], true);
		// What the first step cannot know yet does not hold it up.
		const here = guide.step === 2 || others.length < told.problems?.length;
		if (told.problems?.length && here) return place.replaceChildren(...others.map(problem => h("p", `${problem.field}: `, expected(problem))));
		guide.step += 1;
		draw();
	});
	const flat = parts => parts.flat(9).filter(Boolean);
	const drawCall = () => {
		morph(body, flat(callStep()));
		tendPlayers(body, last?.calls || []);
	};
	function draw(stay) {
		const focused = document.activeElement;
		const { step } = guide;
		const go = step < 3 ? submit(t(step === 1 ? "next" : "save")) : h("a.button.filled", { href: "#now" }, t("guide.done"));
		body = h("div.stack");
		root.replaceChildren(
			h("ol.progress", [1, 2, 3].map(n => h("li", { "aria-current": n === step && "step", "data-past": n < step }, t(`guide.short${n}`)))),
			h("h1", { tabindex: -1 }, t(`guide.title${step}`)), h("p.quiet", t(`guide.text${step}`)),
			h("form.stack", { novalidate: true, onsubmit(event) { event.preventDefault(); if (step < 3) next(go); } }, body, place,
				h("div.actions", step === 1 ? h("a.button.plain", { href: "#now" }, t("guide.later")) : h("button.plain", { onclick() { guide.step -= 1; draw(); } }, t("back")), go)));
		place.replaceChildren();
		if (step === 3) drawCall();
		else body.append(...flat(step === 1 ? pbxStep() : streamStep()));
		if (stay) root.querySelector(`input[type=radio][value="${focused?.value}"]`)?.focus();
		else {
			root.querySelector("h1").focus();
			window.scrollTo(0, 0);
		}
	}
	return {
		root,
		async begin() {
			if (guide.step > 3 || !state.draft) guide.step = 1;
			await load();
			const [[name, first] = []] = Object.entries(trunks());
			if (!(guide.name in trunks())) {
				guide.name = state.guide || !name ? "office" : name;
				if (guide.name !== name) state.draft.trunks = { office: { localPort: first?.localPort ?? "40000" } };
			}
			const { register, url, sink } = trunk();
			guide.how ??= register ? "register" : "trunk";
			guide.to ??= !url ? "box" : PRESETS.includes(sink) ? sink : "server";
			draw();
		},
		update(now) {
			last = now;
			if (guide.step === 3 && body) drawCall();
		},
	};
}
