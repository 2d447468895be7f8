// The guide in Russian, with a registration and a cloud's key; rules and a timer in the settings; and a
// restart from the page.
const { assert, fs, test, run, openAt, show, picture, field, wrongBeside, sees } = require("./lib.js");

run(async open => {
  const page = await openAt(open, "guide");
  page.expected.push(/status of 4\d\d|ERR_/);
  // What was typed outlives a change of mind and of the language.
  await page.getByText("The box is an extension").click();
  await field(page, "Number or login").fill("2000");
  await field(page, "Password").fill("pw1234");
  await page.getByText("The PBX sends them here").click();
  assert.equal(await page.getByLabel("Number or login").count(), 0);
  await page.getByText("The box is an extension").click();
  await page.getByRole("button", { name: "Русский" }).click();
  await sees(page, "Подключите АТС");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "ru");
  assert.equal(await field(page, "Номер или логин").inputValue(), "2000");

  await field(page, "Адрес АТС").fill("a b");
  await page.getByRole("button", { name: "Далее" }).click();
  assert.match(await wrongBeside(page, "Адрес АТС"), /IP/);
  assert.match(await wrongBeside(page, "Адрес АТС"), /[а-я]/);
  await field(page, "Адрес АТС").fill("127.0.0.1");
  await page.getByRole("button", { name: "Проверить АТС" }).click();
  await page.locator(".steps .bad").filter({ hasText: /[а-я]/ }).waitFor({ timeout: 40000 });
  await page.getByRole("button", { name: "Далее" }).click();
  await sees(page, "Куда отправлять поток");
  await page.getByText("YouTube").click();
  await field(page, "Ключ трансляции").fill(test.secret);
  await picture(page, "guide-cloud-ru");
  await page.getByRole("button", { name: "Сохранить" }).click();
  await sees(page, "Позвоните прямо сейчас");
  await sees(page, "С любого телефона АТС позвоните на 2000.");
  const saved = fs.readFileSync(test.file, "utf8");
  assert.ok(saved.includes("rtmp://a.rtmp.youtube.com/live2") && saved.includes(test.secret));

  // The key is a secret from then on; rules that cannot be read say so in Russian.
  await show(page, "settings/trunks.test");
  await page.evaluate(() => document.querySelectorAll("main details").forEach(more => { more.open = true; }));
  assert.equal(await field(page, "Имя или ключ потока").getAttribute("placeholder"), "Задан, не показан");
  await field(page, "Правила").fill('{"match": {"verb": "x"}, "reject": "403"}');
  assert.match(await wrongBeside(page, "Правила"), /[а-я].*method/);
  await field(page, "Правила").fill('{"match": {"method": "INVITE", "uriPort": "none"}, "set": {"uriPort": "5060"}}');
  await page.getByLabel("Таймер сессии").first().selectOption("off");
  await page.getByRole("button", { name: "Проверить и сохранить" }).click();
  await page.getByRole("dialog").getByText(/sessionTimer: off/).waitFor();
  assert.ok(!(await page.getByRole("dialog").innerText()).includes(test.secret));
  await page.getByRole("dialog").getByRole("button", { name: "Сохранить" }).click();
  await sees(page, "Сохранено.");
  assert.match(fs.readFileSync(test.file, "utf8"), /uriPort: none/);

  await show(page, "care");
  await page.getByRole("button", { name: "Сейчас", exact: true }).click();
  await sees(page, "По паролю устройства.");
});
