// All of it by the keyboard alone, and every step shows where it is.
const { assert, fs, test, run } = require("./lib.js");

run(async open => {
  const page = await open();
  page.expected.push(/status of 401/);
  const press = key => page.keyboard.press(key);
  const here = () => page.evaluate(() => {
    const at = document.activeElement;
    const style = getComputedStyle(at);
    return { text: (at.labels?.[0]?.textContent || at.getAttribute("aria-label") || at.textContent || "").trim(), ring: style.outlineStyle !== "none", tag: at.tagName };
  });
  /** Tabs on until something has the words. */
  async function reach(words) {
    for (let steps = 0; steps < 80; steps += 1) {
      await press("Tab");
      const at = await here();
      assert.ok(at.ring || at.tag === "BODY", `nothing shows that ${at.tag} ${at.text} has the focus`);
      if (at.tag !== "BODY" && at.text.includes(words)) return;
    }
    assert.fail(`the keyboard does not reach ${words}`);
  }
  assert.equal((await here()).text, "Password");
  await page.keyboard.type(test.password);
  await press("Enter");
  await page.waitForSelector("nav a");
  await page.evaluate(() => document.activeElement.blur());
  await reach("Skip to content");
  await press("Enter");
  assert.equal((await here()).tag, "MAIN");
  await page.evaluate(() => document.activeElement.blur());
  await reach("Settings");
  await press("Enter");
  await page.getByText("Trunk test").waitFor();
  await page.waitForFunction(() => document.activeElement.tagName === "H1");
  await reach("Address of the PBX");
  await reach("More options");
  await press("Enter");
  await reach("Display name");
  await page.keyboard.type("By keys");
  await reach("Review and save");
  await press("Enter");
  await page.getByRole("dialog").waitFor();
  await press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.match((await here()).text, /Review and save/);
  await press("Enter");
  await page.getByRole("dialog").waitFor();
  await reach("Save");
  await press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.match(fs.readFileSync(test.file, "utf8"), /visibleName: "?By keys/);
  await reach("Sign out");
  await press("Enter");
  await page.getByRole("button", { name: "Sign in" }).waitFor();
});
