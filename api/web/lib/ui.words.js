// What every view says: buttons of dialogs, and problems by their code.

import { addWords } from "./words.js";

addWords({
  ru: {
    "ui.undo": "Отменить", "ui.close": "Закрыть", "ui.sure": "Точно?", "ui.yes": "Да", "ui.no": "Нет", "ui.more": "Показать ещё",
    "problem.page": "Что-то пошло не так. Обновите страницу.", "problem.unreachable": "Ни один узел не отвечает. Проверьте связь.",
    "problem.unavailable": "Кластер сейчас не принимает изменений. Повторите через несколько секунд.",
    "problem.outcome-unknown": "Пока неизвестно, удалось ли. Повторите — дважды это не случится.",
    "problem.unauthenticated": "Сеанс окончен, войдите снова.", "problem.forbidden": "Это вам не разрешено.",
    "problem.login-taken": "Этот логин занят.", "problem.invalid-login": "Такой логин нельзя: 3–64 знака, буквы одного алфавита, цифры и . _ @ + -",
    "problem.weak-password": "Пароль слишком простой.", "problem.wrong-credentials": "Неверный логин или пароль.", "problem.user-blocked": "Эта учётная запись заблокирована.",
    "problem.password-change-needed": "Сначала смените одноразовый пароль.",
    "problem.too-many-attempts": "Слишком много попыток. Подождите минуту.", "problem.seat-taken": "Это место уже заняли.",
    "problem.past": "Это время уже началось.", "problem.closed": "В это время закрыто.", "problem.off-grid": "Столько слотов подряд здесь не помещается.",
    "problem.booking-completed": "Бронь уже завершилась.", "problem.booking-not-found": "Такой брони нет.", "problem.overloaded": "Слишком много запросов, повторите.",
    "problem.out-of-service": "Это место сейчас не работает.", "problem.beyond-horizon": "Так далеко вперёд бронировать нельзя.",
    "problem.too-long": "Такая долгая бронь здесь не разрешена.", "problem.too-many-live": "У вас уже столько броней, сколько здесь разрешено.",
    "problem.too-many-that-day": "На этот день у вас уже столько броней, сколько разрешено.",
    "problem.seated-elsewhere": "В это время у вас здесь уже есть другое место.", "problem.too-late-to-cancel": "Отменять уже поздно.",
    "problem.wrong-code": "Это не тот код.", "problem.too-many-addresses": "На сегодня кодов отправлено достаточно. Попробуйте завтра.", "problem.address-changed": "Адрес с тех пор изменился.",
  },
  en: {
    "ui.undo": "Undo", "ui.close": "Close", "ui.sure": "Are you sure?", "ui.yes": "Yes", "ui.no": "No", "ui.more": "Show more",
    "problem.page": "Something went wrong. Reload the page.", "problem.unreachable": "No node answers. Check the connection.",
    "problem.unavailable": "The cluster takes no changes now. Try again in a few seconds.",
    "problem.outcome-unknown": "It is not known yet whether this happened. Try again: it will not happen twice.",
    "problem.unauthenticated": "The session has ended, log in again.", "problem.forbidden": "You may not do this.",
    "problem.login-taken": "This login is taken.", "problem.invalid-login": "This login cannot be used: 3 to 64 letters of one script, digits and . _ @ + -",
    "problem.weak-password": "This password is too weak.", "problem.wrong-credentials": "Wrong login or password.", "problem.user-blocked": "This account is blocked.",
    "problem.password-change-needed": "Change the one-time password first.",
    "problem.too-many-attempts": "Too many attempts. Wait a minute.", "problem.seat-taken": "This seat has just been taken.",
    "problem.past": "That time has begun already.", "problem.closed": "It is closed then.", "problem.off-grid": "That many slots in a row do not fit here.",
    "problem.booking-completed": "The booking is over already.", "problem.booking-not-found": "There is no such booking.", "problem.overloaded": "Too much at once, try again.",
    "problem.out-of-service": "This seat is out of service then.", "problem.beyond-horizon": "That is too far ahead.",
    "problem.too-long": "That is longer than this space allows.", "problem.too-many-live": "You have as many bookings as this space allows.",
    "problem.too-many-that-day": "You have as many bookings that day as this space allows.",
    "problem.seated-elsewhere": "You have another seat here at that time.", "problem.too-late-to-cancel": "It is too late to cancel.",
    "problem.wrong-code": "This is not the code.", "problem.too-many-addresses": "Enough codes were mailed for today. Try again tomorrow.", "problem.address-changed": "The address has changed since.",
  },
});
