// The frame of the page: who is signed in, which view is open, and the box's state every second.
import { ask, h, lang, on, say, t } from "./ui.js";
import { dot, drawNow, remember, stateOf, tendPlayers } from "./now.js";
import { guideView, loginView, passwordView } from "./setup.js";
import { careView, settingsView, unsaved } from "./settings.js";

const WAITS = [1000, 2000, 4000, 8000];
const THEMES = ["auto", "light", "dark"];
const page = { session: null, now: null, view: null, lost: 0, timer: 0 };

const main = h("main", { id: "main", tabindex: "-1" });
const banner = h("div.banner", { role: "alert" });
const head = h("header.top");
const feet = h("footer");
const pill = h("a.pill", { href: "#now" });
const skip = h("a.skip", { href: "#main", onclick(event) { event.preventDefault(); main.focus(); } });

const route = () => location.hash.slice(1).split("/")[0];
const signedIn = () => page.session?.state === "signedIn";

function frame() {
	document.documentElement.lang = lang.now;
	const theme = localStorage.theme || "auto";
	if (theme === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = theme;
	skip.textContent = t("skip");
	const views = [["now", "nav.now"], ["settings", "nav.settings"], ["care", "nav.care"]];
	const other = lang.now === "ru" ? "en" : "ru";
	head.replaceChildren(
		h("a.brand", { href: "#now", "aria-label": "Trunkcast" }, h("img", { src: "/icon.svg", alt: "", width: 28, height: 28 }), h("b", "Trunkcast")),
		signedIn() ? h("nav", { "aria-label": t("nav") }, views.map(([name, key]) => h("a", { href: `#${name}`, "aria-current": page.view?.name === name ? "page" : null }, t(key)))) : "",
		signedIn() ? pill : "",
		h("div.tools",
			h("button.plain", { lang: other, onclick() {
				lang.now = other;
				localStorage.lang = other;
				redraw();
				head.querySelector(".tools button").focus();
			} }, other === "ru" ? "Русский" : "English"),
			h("button.plain", { onclick() {
				localStorage.theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
				frame();
				head.querySelector(".tools button:last-child").focus();
			} }, t(`theme.${theme}`))));
	feet.replaceChildren(h("span", `Trunkcast ${page.session?.version || ""}`),
		signedIn() ? h("button.link", { onclick: signOut }, t("signOut")) : "");
	drawPill();
}
function drawPill() {
	if (!page.now) return;
	const state = stateOf(page.now);
	pill.replaceChildren(dot(state.kind), h("span", state.text));
	pill.hidden = page.view?.name === "now";
	if (page.said !== state.text) say(state.text);
	page.said = state.text;
}

// Opens the view of the address, or the one that has to come first.
async function open() {
	const name = !page.session ? "" : page.session.state === "new" ? "new" : !signedIn() ? "login" : route() || "now";
	const again = page.view?.name === name;
	if (again && page.view.move) return page.view.move();
	page.view = VIEWS[name] ? VIEWS[name]() : VIEWS.now();
	page.view.name = VIEWS[name] ? name : "now";
	document.title = `${t(page.view.title)} · Trunkcast`;
	frame();
	main.replaceChildren(page.view.root);
	if (page.now) page.view.update?.(page.now);
	tendPlayers(main, page.now?.calls || []);
	const view = page.view;
	const focus = page.opened || !signedIn();
	page.opened = true;
	try {
		await view.begin?.();
	} catch {
		main.replaceChildren(h("p.wrong", { role: "alert" }, t("notLoaded")));
	}
	if (focus && view === page.view) (main.querySelector(signedIn() ? "h1" : "input") || main).focus();
}
const VIEWS = {
	new: () => ({ title: "welcomeTitle", root: passwordView(() => enter("guide")) }),
	login: () => ({ title: "signInTitle", root: loginView(() => enter()) }),
	guide: () => ({ title: "guide.title1", ...guideView() }),
	settings: () => ({ title: "nav.settings", ...settingsView() }),
	care: () => ({ title: "nav.care", ...careView(page.session.version) }),
	now: () => {
		const root = h("div.now", h("p.quiet", t("loading")));
		return { title: "nav.now", root, update: now => drawNow(root, now) };
	},
};

async function enter(where) {
	page.session = await ask("/page/session");
	if (where) history.replaceState(null, "", `#${where}`);
	page.view = null;
	open();
	poll();
}
async function signOut() {
	await ask("/page/logout", {}).catch(() => {});
	page.now = null;
	page.session = { ...page.session, state: "signedOut" };
	page.view = null;
	open();
}
on.signedOut = () => {
	if (!signedIn()) return;
	page.session = { ...page.session, state: "signedOut" };
	open();
};
function redraw() {
	page.view = page.said = null;
	page.opened = false;
	open();
}

function connected(is) {
	if (is === !page.lost) return;
	page.lost = is ? 0 : 1;
	banner.textContent = is ? "" : t("offline");
	if (is) say(t("online"));
}
async function poll() {
	clearTimeout(page.timer);
	if (document.hidden) return;
	let wait = WAITS[0];
	try {
		if (!page.session) {
			page.session = await ask("/page/session", undefined, { patience: 5000 });
			connected(true);
			if (signedIn() && page.session.guide && !route()) history.replaceState(null, "", "#guide");
			open();
			if (signedIn()) wait = 0;
		} else if (signedIn()) {
			const now = await ask("/page/now", undefined, { patience: 5000 });
			connected(true);
			page.now = now;
			remember(now);
			drawPill();
			page.view?.update?.(now);
			performance.mark("usable");
		} else if (page.lost) {
			await ask("/page/session", undefined, { patience: 5000 });
			connected(true);
		}
	} catch (error) {
		if (!error.status) {
			connected(false);
			page.lost += 1;
			wait = WAITS[Math.min(page.lost, WAITS.length) - 1];
		}
	}
	clearTimeout(page.timer);
	page.timer = setTimeout(poll, wait);
}

document.body.replaceChildren(skip, head, banner, main, feet);
frame();
addEventListener("hashchange", () => { if (signedIn()) open(); });
addEventListener("visibilitychange", poll);
addEventListener("online", poll);
addEventListener("beforeunload", event => { if (unsaved()) event.preventDefault(); });
poll();
