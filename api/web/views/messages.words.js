import { addWords } from "../lib/words.js";

addWords({
  ru: {
    "messages.title": "Сообщения", "messages.address": "Почта", "messages.language": "Язык писем", "messages.remind": "Напомнить за, минут (0 — нет)", "messages.kinds": "О чём писать",
    "messages.save": "Сохранить", "messages.code": "Код из письма", "messages.confirm": "Подтвердить", "messages.saved": "Сохранено.", "messages.addressConfirmed": "Адрес подтверждён.",
    "messages.none": "Этот кластер писем не отправляет.", "messages.off": "Писем о ваших бронях вы не получаете.", "messages.on": "Письма приходят на {address}.",
    "messages.waits": "На {address} отправлен код. Пока вы его не введёте, писем не будет.", "messages.hint": "Сохраните без адреса — и он будет забыт.",
    "messages.kind.confirmed": "забронировано", "messages.kind.moved": "перенесено", "messages.kind.cancelled": "отменено", "messages.kind.released": "снято: никто не отметился",
    "messages.kind.affected": "изменения в коворкинге задели бронь", "messages.kind.promoted": "досталось место, которого я жду",
  },
  en: {
    "messages.title": "Messages", "messages.address": "Mail address", "messages.language": "Language of the mails", "messages.remind": "Remind me, minutes before (0: not)", "messages.kinds": "Tell me of",
    "messages.save": "Save", "messages.code": "Code from the mail", "messages.confirm": "Confirm", "messages.saved": "Saved.", "messages.addressConfirmed": "The address is confirmed.",
    "messages.none": "This cluster sends no mails.", "messages.off": "You are told nothing of your bookings by mail.", "messages.on": "Mails go to {address}.",
    "messages.waits": "A code was mailed to {address}. Nothing else is sent there before you enter it.", "messages.hint": "Save without an address, and it is forgotten.",
    "messages.kind.confirmed": "booked", "messages.kind.moved": "moved", "messages.kind.cancelled": "cancelled", "messages.kind.released": "released: nobody checked in",
    "messages.kind.affected": "a change in the coworking touches a booking", "messages.kind.promoted": "a place that I wait for is mine",
  },
});
