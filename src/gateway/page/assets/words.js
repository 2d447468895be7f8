// key~English~Russian, or one text for both; #family goes before the keys below it.
// A bar parts plural forms of {n}; :: a label from its help.
export const table = `
#
skip~Skip to content~К содержимому
nav~Pages~Разделы
signOut~Sign out~Выйти
notLoaded~This could not be loaded.~Не удалось загрузить.
offline~Connection to the box lost. Trying again …~Нет связи с устройством. Пробуем снова…
cancel~Cancel~Отмена
save~Save~Сохранить
next~Next~Далее
back~Back~Назад
more~More options~Дополнительно
edit~Settings~Настроить
remove~Remove~Удалить
rename~Rename~Переименовать
show~Show~Показать
on~On~Вкл.
off~Off~Выкл.
password~Password~Пароль
kbps~kbit/s~кбит/с
mbps~Mbit/s~Мбит/с
fps~{n} fps~{n} к/с
welcomeTells~Choose a password for this page.~Придумайте пароль для этой страницы.
setPassword~Set password~Задать пароль
signIn~Sign in~Войти
allGood~All of it works.~Всё работает.
callsTitle~Calls~Звонки
callsNone~No call at the moment.~Сейчас звонков нет.
callsNoneDo~The next one shows up here by itself.~Следующий появится здесь сам.
calls~calls {callee} · {trunk}~звонит на {callee} · {trunk}
calledBy~calls out to {callee} · {trunk}~исходящий на {callee} · {trunk}
unknownCaller~Unknown~Неизвестный
duration~Duration~Длительность
picture~Picture~Картинка
sound~Sound~Звук
lost~Lost packets~Потери
skew~Lip-sync within~Рассинхрон
stream~Stream~Поток
also~Also~Ещё
recorded~being recorded~идёт запись
pushes~further targets: {n}~ещё адресов: {n}
players~viewers: {n}~зрителей: {n}
retry~Trying again in {n} s.~Повтор через {n} с.
bitrate~Bitrate~Битрейт
perSecond~{n}/s~{n}/с
hangUp~Hang up~Завершить
hangUpAsk~Hang up on {who}?~Завершить звонок {who}?
hangUpTells~Call and stream end at once.~Звонок и поток сразу прекратятся.
watch~Show picture~Показать
listen~Listen~Слушать
livePicture~Live picture~Прямой эфир
soundOn~Sound on~Включить звук
soundOff~Sound off~Выключить звук
stopWatching~Stop~Стоп
trunks~Trunks~Транки
editTrunk~Settings of {trunk}~Настроить {trunk}
registration~Registration~Регистрация
pbx~PBX~АТС
takesCallsAt~Takes calls at~Принимает звонки
ofMost~{n} of {most}~{n} из {most}
box~The box~Устройство
freeOf~{free} of {total} free~свободно {free} из {total}
temperature~Temperature~Температура
load~Load~Нагрузка
memory~Memory~Память
uptime~Switched on for~Включено
runningFor~Running for~Работает
lastMinutes~Last {n} min, all calls~Последние {n} мин, все звонки
packetsLost~{n} packet lost|{n} packets lost~потерян {n} пакет|потеряно {n} пакета|потеряно {n} пакетов
history~Last calls~Последние звонки
historyNone~No call has ended yet.~Завершённых звонков пока нет.
who~Who~Кто
ended~How it ended~Чем закончился
addTrunk~Add a trunk~Добавить транк
trunkTitle~Trunk {trunk}~Транк {trunk}
trunkName~Name~Имя
trunkNameTaken~Choose another name.~Выберите другое имя.
renameTitle~Rename {trunk}~Переименовать {trunk}
removeTitle~Remove {trunk}?~Удалить {trunk}?
removeTells~Nothing is removed before you save.~До сохранения ничего не удаляется.
notSet~Not set~Не задано
usual~Usual: {value}~Обычно: {value}
secretKept~Set, not shown~Задан, не показан
unsaved~Changes are not saved yet.~Изменения ещё не сохранены.
discard~Discard~Отменить
review~Review and save~Проверить и сохранить
reviewTitle~What changes~Что изменится
atOnce~Takes effect at once; calls go on.~Действует сразу; звонки продолжаются.
needsRestart~After a restart only: {what}~Только после перезапуска: {what}
restartWaits~Saved. Waiting for a restart: {what}~Сохранено. Ждёт перезапуска: {what}
saved~Saved.~Сохранено.
problems~Look again: {n}~Проверьте: {n}
backup~Back-up~Резервная копия
backupTells~All settings in one file, with passwords.~Все настройки в одном файле, с паролями.
backupGo~Download back-up~Скачать копию
backupDone~Downloaded.~Скачано.
restore~Restore~Восстановление
restoreTells~Takes the settings of a back-up.~Берёт настройки из копии.
restoreFile~Back-up file~Файл копии
restoreGo~Restore~Восстановить
restoreDone~Restored.~Восстановлено.
restoreBad~Nothing was changed:~Ничего не изменено:
oldPassword~Password so far~Прежний пароль
newPassword~New password~Новый пароль
restart~Restart~Перезапуск
restartTells~Takes a few seconds.~Занимает несколько секунд.
diagnostics~Diagnosis~Диагностика
diagnosticsTells~Log and state, without passwords.~Журнал и состояние, без паролей.
diagnosticsGo~Download diagnosis~Скачать диагностику
began~When~Когда
worked~Worked:~Да:
failed~Failed:~Нет:
trying~Trying, a few seconds …~Проверяем, несколько секунд…
loading~One moment …~Секунду…
online~Connected again.~Связь восстановлена.
port~port {port}, {transport}~порт {port}, {transport}
times~{n}×
about~About~Об устройстве
aboutTells~Trunkcast {version}
signInTells~With the password of this box.~По паролю устройства.
wrongPassword~That is not the password. Please try again.~Неверный пароль. Попробуйте ещё раз.
noFile~Choose a file first.~Сначала выберите файл.
lossNone~None~Нет
signInTitle~Sign in~Вход
welcomeTitle~Welcome~Добро пожаловать
codecs~Picture and sound~Картинка и звук
change~Change password~Сменить пароль
changeTells~Other browsers are signed out.~В других браузерах сеанс закончится.
changed~Changed.~Изменён.
changeGo~Change password~Сменить пароль
aboutGo~Open the guide~Открыть мастер
#nav
now~Now~Сейчас
settings~Settings~Настройки
care~Maintenance~Обслуживание
#theme
auto~Theme: auto~Тема: авто
light~Theme: light~Тема: светлая
dark~Theme: dark~Тема: тёмная
#strength
0~8 characters or more. A few words are easy to keep in mind.~Не меньше 8 знаков. Несколько слов легко запомнить.
1~That will do. A longer one is better.~Подойдёт. Длиннее — лучше.
2~Good.~Хороший пароль.
3~Very good.~Отличный пароль.
#guide
short1~PBX~АТС
short2~Stream~Поток
short3~First call~Первый звонок
title1~Connect your PBX~Подключите АТС
title2~Choose where the stream goes~Куда отправлять поток
title3~Call this number now~Позвоните прямо сейчас
text1~Where do the calls come from?~Откуда приходят звонки?
text2~Picture and sound go there untouched.~Картинка и звук идут туда без изменений.
text3~Saved. One thing is left: the first call.~Сохранено. Остался первый звонок.
how~How do calls reach the box?~Как звонки попадают на устройство?
where~Where to?~Куда?
key~Stream key~Ключ трансляции
cloud~They take H.264 and AAC only: a phone with G.711 gives a picture without sound.~Они берут только H.264 и AAC: телефон с G.711 даст картинку без звука.
later~Later~Позже
done~Done~Готово
callRoute~In the PBX, route a number here, then call it:~На АТС направьте номер сюда и позвоните:
callNumber~From any phone of the PBX, call {number}.~С любого телефона АТС позвоните на {number}.
waiting~Waiting for your first call …~Ждём первый звонок…
arrived~It works: your call is here.~Работает: звонок пришёл.
address~Address~Адрес
port~Port~Порт
#state
ready~Ready: waiting for calls~Готово: ждём звонков
live~{n} call live|{n} calls live~{n} звонок в эфире|{n} звонка в эфире|{n} звонков в эфире
stuck~A stream does not get through~Поток не проходит
registration~{trunk} is not registered at the PBX~{trunk}: нет регистрации на АТС
registering~Signing in at the PBX …~Регистрируемся на АТС…
pbxDown~The PBX of {trunk} does not answer~{trunk}: АТС не отвечает
full~Little space left on {place}~Мало места: {place}
fullDo~Remove old recordings.~Удалите старые записи.
noTrunk~No trunk yet: add one in the settings~Транков нет: добавьте в настройках
#live
starting~Starting …~Запускаем…
waitingForKeyframe~Waiting for a whole picture …~Ждём целый кадр…
onHold~On hold~На удержании
noCodec~This browser cannot play:~Браузер не воспроизводит:
noSound~Picture only; this browser cannot play~Без звука; браузер не воспроизводит
ended~The call is over.~Звонок завершён.
offline~Connection lost, trying again …~Нет связи, пробуем снова…
tooManyWatched~Too many are watching.~Слишком много зрителей.
failed~The picture could not be loaded.~Не удалось загрузить картинку.
notAnswered~Not answered yet~Ещё не отвечен
noPicture~Waiting for the first picture …~Ждём первый кадр…
noMedia~Nothing has come yet~Пока ничего не пришло
codec~No browser can play its codecs~Браузеры не знают этих кодеков
soundOnly~Sound only; this browser cannot play~Только звук; браузер не воспроизводит
#registration
registered~Registered~Есть
registering~Signing in …~Регистрируемся…
failed~Failed~Не удалась
unregistered~Not registered~Нет
#peer
up~answers~отвечает
down~does not answer~не отвечает
unknown~not asked~не проверяется
#rtmp
publishing~Live~В эфире
connecting~Connecting …~Соединяемся…
waiting~Waiting to try again~Ждём повтора
refused~Refused by the server~Сервер отказал
off~Off~Выключен
local~On this box, for players~На устройстве, для плееров
#storage
recordings~Recordings~Записи
state~State~Состояние
root~System~Система
#end
callerHungUp~The caller hung up~Положил трубку звонивший
calleeHungUp~The other side hung up~Положил трубку собеседник
weHungUp~The box hung up~Завершило устройство
hungUpOnPage~Hung up on this page~Завершён с этой страницы
hungUpByRest~Hung up by REST~Завершён через REST
transferred~Transferred~Переведён
stopped~The box was stopped~Устройство остановлено
defect~An error in the box~Ошибка устройства
noMedia~The caller sent nothing any more~Звонящий ничего не передавал
peerGone~The other side was gone~Собеседник пропал
sessionTimer~Not renewed in time~Не продлён вовремя
cancelled~Given up before the answer~Отменён до ответа
noAnswer~No answer~Нет ответа
busy~Busy~Занято
refused~Refused~Отклонён
notFound~No such number~Нет такого номера
wrongPassword~Wrong login or password~Неверный логин или пароль
unreachable~Could not be reached~Недоступен
nameNotFound~Name not found~Имя не найдено
registrationFailed~Registration failed~Регистрация не удалась
redirected~Redirected~Перенаправлен
noCodecInCommon~No codec in common~Нет общих кодеков
badOffer~The offer could not be used~Предложение не подошло
streamNameInUse~Its stream name was live already~Поток с этим именем уже шёл
capacity~The box was full~Не было свободного места
refusedByBackend~Refused by the backend~Отклонён бэкендом
backendSilent~The backend did not answer~Бэкенд не ответил
#step
lookup~Find the address~Поиск адреса
reach~Reach the PBX~Связь с АТС
options~Ask the PBX (OPTIONS)~Запрос к АТС (OPTIONS)
register~Sign in (REGISTER)~Регистрация (REGISTER)
connect~Connect to the server~Соединение с сервером
publish~Begin the stream~Начало потока
video~Send a picture~Отправка картинки
audio~Send sound~Отправка звука
#code
offline~The box does not answer. Is it on, and are you on its network?~Устройство не отвечает. Включено ли оно, в той ли вы сети?
passwordTooShort~Please use 8 to 128 characters.~Нужно от 8 до 128 знаков.
passwordIsSet~A password is set already. Reload the page.~Пароль уже задан. Обновите страницу.
notWritable~The settings file cannot be written.~Файл настроек нельзя записать.
wrongPassword~Wrong login or password. Check both.~Неверный логин или пароль. Проверьте оба.
tooManyTries~Too many tries. Wait {n} s.~Слишком много попыток. Подождите {n} с.
signedOut~You were signed out. Please sign in again.~Сеанс окончен. Войдите снова.
noSuchCall~This call is over already.~Этот звонок уже завершён.
changedMeanwhile~The settings were changed elsewhere. Reload the page.~Настройки изменили в другом месте. Обновите страницу.
badSettings~The settings are not complete. See the fields.~Настройки неполны. Проверьте поля.
busy~Busy just now. Try again in a moment.~Сейчас занято. Попробуйте чуть позже.
nameNotFound~This name is not known. Check it, or use the IP address.~Имя не найдено. Проверьте его или укажите IP-адрес.
refused~Nobody listens there. Check address and port.~Там никто не слушает. Проверьте адрес и порт.
noAnswer~No answer. Check the address and any firewall between.~Нет ответа. Проверьте адрес и межсетевой экран.
unreachable~Not reachable. Check address and cabling.~Недоступно. Проверьте адрес и кабель.
forbidden~Refused. Allow the address of the box there.~Отказано. Разрешите там адрес устройства.
notFound~The PBX does not know this number. Create it there.~АТС не знает этого номера. Создайте его там.
serverError~The other side reports an error. Try again later.~Ошибка на той стороне. Попробуйте позже.
tlsUntrusted~The certificate is not trusted. Set the authorities file.~Сертификату нет доверия. Укажите файл центров.
tlsExpired~The certificate has expired.~Сертификат истёк.
tlsTimeNotSet~The clock of the box is not set yet.~Часы устройства ещё не установлены.
tlsFailed~No secure connection. Is this a TLS port?~Нет защищённого соединения. Это порт TLS?
appRefused~The server does not know this application.~Сервер не знает такого приложения.
streamRefused~The server refuses the stream. Check its name or key.~Сервер не принимает поток. Проверьте имя или ключ.
streamBusy~A stream of this name is live there already.~Поток с таким именем там уже идёт.
noVideoCodec~No video codec in common: {codec}.~Нет общего видеокодека: {codec}.
audioRefused~The server does not take the sound: picture only.~Сервер не берёт звук: только картинка.
videoRefused~The server does not take the picture.~Сервер не принимает картинку.
closed~The server closed the connection. Check the key.~Сервер закрыл соединение. Проверьте ключ.
tooSlow~The server, or the line to it, is too slow.~Сервер или канал к нему слишком медленный.
other~It did not work.~Не получилось.
nameServerSilent~The box cannot look up names. Has it a name server?~Устройство не может искать имена. Есть ли DNS?
tlsWrongName~The certificate is for another name.~Сертификат на другое имя.
notTls~There is no TLS at this port.~На этом порту нет TLS.
rejected~The other side says no: {code}.~Та сторона отказала: {code}.
notRtmp~No RTMP server answers there.~Там нет сервера RTMP.
noAudioCodec~No audio codec in common: {codec}.~Нет общего аудиокодека: {codec}.
stopped~The test was stopped.~Проверка прервана.
failed~The box could not try this.~Устройство не смогло проверить.
hostNotLocal~Open this page by the IP address of the box.~Откройте страницу по IP-адресу устройства.
passwordTooLong~At most 128 characters.~Не больше 128 знаков.
#section
rtmp~Players~Плееры
media~Network media~Медиа в сети
limits~Limits~Пределы
recording~Recordings~Записи
files~Folders~Папки
page~This page~Эта страница
rest~REST
hooks~Backend~Бэкенд
#o
true~Yes~Да
false~No~Нет
off~Off~Выкл.
optional~Where offered~Если предложат
required~Always~Всегда
tls~TLS
udp~UDP
tcp~TCP
oldest~Remove the oldest~Удалять старые
stop~Stop recording~Прекратить запись
notify~Tell~Сообщать
ask~Ask first~Спрашивать
LOG~Take the call~Принять звонок
FAIL~Refuse the call~Отклонить
#f
proxyIp~Address of the PBX :: Name or IP address.~Адрес АТС :: Имя или IP-адрес.
localPort~SIP port of this box~SIP-порт устройства
allow~Who else may call :: One network a line: 192.0.2.0/24~Кому ещё можно звонить :: По сети в строке: 192.0.2.0/24
transport~Transport~Транспорт
remotePort~SIP port of the PBX~SIP-порт АТС
targets~Further addresses of the PBX :: One a line.~Другие адреса АТС :: По одному в строке.
outboundProxy~Outbound proxy~Исходящий прокси
domain~Domain of the box~Домен устройства
ping~Ask the PBX every (s)~Опрос АТС (с)
caFile~Authorities file (PEM)~Файл центров (PEM)
certificate~Certificate file (PEM)~Файл сертификата (PEM)
key~Key file (PEM)~Файл ключа (PEM)
visibleName~Display name~Отображаемое имя
register.login~Number or login~Номер или логин
register.authenticationName~Authentication name~Имя для авторизации
register.registrar~Registrar :: host:port~Регистратор :: host:port
register.contact~Contact user~Имя в Contact
url~Address of the server :: rtmp://server/live. Empty: the stream stays here.~Адрес сервера :: rtmp://server/live. Пусто: поток остаётся здесь.
sink~Kind of server~Вид сервера
streamName~Stream name or key :: Empty: named after the dialled number.~Имя или ключ потока :: Пусто: по набранному номеру.
record~Record its calls~Записывать звонки
codecs~Codecs :: Best first, as in h264, pcma~Кодеки :: Лучшие первыми: h264, pcma
srtp~Encrypted media (SRTP)~Шифрование (SRTP)
sdpParams~SDP lines :: b=AS:2000~Строки SDP :: b=AS:2000
sdp~SDP template~Шаблон SDP
calls~Calls at once~Звонков одновременно
mediaTimeout~Hang up silent callers after (s)~Отбой при молчании (с)
dtmf~How keys are sent~Передача тонов
sessionTimer~Session timer~Таймер сессии
abuse.perSource~SIP messages a second, each~SIP-сообщений в секунду, от одного
abuse.total~SIP messages a second, all~SIP-сообщений в секунду, всего
rules~Rules :: One a line, as JSON.~Правила :: По одному в строке, JSON.
rtmp.listen~Players connect at :: address:port~Адрес для плееров :: адрес:порт
media.address~Address named to callers~Адрес для звонящих
media.ports~Ports :: 4 for each call.~Порты :: По 4 на звонок.
limits.memoryMiB~Memory at most, MiB~Память не более, МиБ
recording.directory~Folder~Папка
recording.all~Record every call~Записывать все звонки
recording.minFreeMiB~Keep free, MiB~Оставлять свободным, МиБ
recording.maxMiB~All recordings at most, MiB~Все записи не более, МиБ
recording.whenFull~When full~Когда нет места
recording.rotation~Next file after :: Seconds, or 20M.~Новый файл через :: Секунды или 20M.
recording.template~File names~Имена файлов
files.directory~Media to be played into calls~Файлы для проигрывания в звонки
state.directory~What outlives a restart~Что переживает перезапуск
page.listen~This page listens at :: address:port, or off.~Адрес этой страницы :: адрес:порт или off.
page.allow~Who may open it :: One network a line.~Кому открывать :: По сети в строке.
rest.listen~Listens at~Адрес
hooks.url~Address of the backend~Адрес бэкенда
hooks.username~User name~Имя пользователя
hooks.onCall~Incoming calls~Входящие звонки
hooks.onError~If it does not answer~Если не отвечает
hooks.methods~Methods :: Empty: all.~Методы :: Пусто: все.
hooks.appKey~Application key~Ключ приложения
hooks.timeoutSeconds~Wait for an answer (s)~Ждать ответа (с)
hooks.retrySeconds~Repeat for (s)~Повторять (с)
hooks.connections~Connections at once~Соединений одновременно
tls.listen~Over TLS at :: address:port~Через TLS :: адрес:порт
password~Password~Пароль
expires~Renew after (s)~Обновлять через (с)
min~At least (s)~Не чаще (с)
#restart
idle~When no call is up~Когда нет звонков
now~Restart now~Сейчас
#how
trunk~The PBX sends them here~АТС направляет их сюда
trunk.help~By address, as a trunk. Nothing to sign in to.~По адресу, как транк. Регистрация не нужна.
register~The box is an extension~Устройство — внутренний номер
register.help~It signs in with number and password.~Регистрируется по номеру и паролю.
#try
pbx~Test the PBX~Проверить АТС
rtmp~Test the stream~Проверить поток
#to
youtube~YouTube
twitch~Twitch
facebook~Facebook
server~Other server~Другой сервер
box~Keep on the box~Оставить здесь
server.help~Any rtmp:// address~Любой адрес rtmp://
box.help~Players fetch it here~Плееры забирают отсюда
nginx-rtmp~nginx-rtmp
nginx-rtmp.help~A server of your own~Ваш собственный сервер
cloud.help~With a stream key~По ключу
#restarting
now~Restarting …~Перезапускаемся…
idle~It restarts after the last call.~Перезапустится после последнего звонка.
#note
live~Already at work with these settings.~Уже работает с этими настройками.
optionsSilent~No answer to OPTIONS, but the PBX is there.~На OPTIONS ответа нет, но АТС на месте.
otherCodec~Not tried: this server takes {codec} only.~Не проверялось: сервер берёт только {codec}.
`;
