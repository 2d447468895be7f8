// What the scripts share: a browser at the page, and what counts as a defect of every page.
//
// A script is run by a test of tests/real_page*.rs: settings come as JSON in TEST, and lines that it
// prints tell the test how far it is.
const { chromium } = require("playwright-core");
const fs = require("fs");
const path = require("path");
const assert = require("assert/strict");

const test = JSON.parse(process.env.TEST || "{}");
const say = line => console.log(line);

/** Runs a script: a browser, its work, and the end of both. */
async function run(work) {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"],
  });
  const defects = [];
  try {
    await work(options => open(browser, defects, options));
    assert.deepEqual(defects, []);
    say("all of it");
  } catch (error) {
    say(`failed: ${error.stack}`);
    say(`defects: ${JSON.stringify(defects)}`);
    await picture(browser.contexts().flatMap(context => context.pages()).at(-1), `failed-${path.basename(process.argv[1], ".js")}`);
    process.exitCode = 1;
  }
  await browser.close();
}

/** Opens the page; what its console complains of, violations of its policy and dialogs are defects. */
async function open(browser, defects, { width = 1440, height = 900, theme = "light", lang = "en", context: given, at = "/" } = {}) {
  const context = given || await browser.newContext({ viewport: { width, height }, colorScheme: theme, locale: lang, acceptDownloads: true });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.expected = [];
  page.on("console", message => {
    const text = message.text();
    if (["error", "warning"].includes(message.type()) && !page.expected.some(pattern => pattern.test(text))) defects.push(`${message.type()}: ${text}`);
  });
  page.on("pageerror", error => defects.push(`thrown: ${error.stack}`));
  page.on("dialog", dialog => {
    if (dialog.type() !== "beforeunload") defects.push(`dialog: ${dialog.message()}`);
    dialog.accept().catch(() => {});
  });
  page.on("request", request => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.host !== new URL(test.url).host) defects.push(`outside: ${url}`);
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", event => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(new URL(at, test.url).href);
  await page.waitForSelector("h1");
  return page;
}

/** Signs in with the test's password. */
async function signIn(page) {
  await page.fill("input[type=password]", test.password);
  await page.keyboard.press("Enter");
  await page.waitForSelector("nav a");
}
/** Signs in at a new page, which shows one view. */
async function openAt(opener, view, options) {
  const page = await opener(options);
  if (await page.locator(".gate").count()) await signIn(page);
  await show(page, view);
  return page;
}
async function show(page, view) {
  await page.evaluate(where => { location.hash = where; }, view);
  await page.waitForFunction(where => document.querySelector(`nav a[aria-current="page"][href="#${where.split("/")[0]}"]`) || where === "guide", view);
  await page.waitForSelector("main h1");
}
async function picture(page, name) {
  const folder = path.join(__dirname, "../../target/screenshots");
  fs.mkdirSync(folder, { recursive: true });
  await page?.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true }).catch(() => {});
}
/** The field with a label. */
const field = (page, label) => page.getByLabel(label, { exact: true });
/** The words that stand beside a field as wrong. */
async function wrongBeside(page, label) {
  const input = field(page, label);
  const id = await input.getAttribute("id");
  const place = page.locator(`#${id}p`);
  await place.filter({ hasText: /./ }).waitFor();
  assert.equal(await input.getAttribute("aria-invalid"), "true");
  return place.innerText();
}
const sees = (page, text) => page.getByText(text).filter({ visible: true }).first().waitFor();

module.exports = { assert, fs, path, test, say, run, signIn, openAt, show, picture, field, wrongBeside, sees };
