// What the shell says: header, log-in, connection.

import { addWords } from "./lib/words.js";

addWords({
  ru: {
    "app.skip": "К содержанию", "app.nav": "Разделы", "app.logIn": "Войти", "app.logOut": "Выйти", "app.register": "Зарегистрироваться",
    "app.login": "Логин", "app.password": "Пароль", "app.newPassword": "Придумайте пароль", "app.showPassword": "Показать пароль", "app.passwordRule": "От 8 до 128 знаков. Почту подтверждать не нужно.",
    "app.welcome": "Вход", "app.welcomeNew": "Регистрация", "app.haveAccount": "У меня есть учётная запись", "app.noAccount": "Создать учётную запись",
    "app.registered": "Вы зарегистрированы как {login}.", "app.signedOut": "Сеанс окончен, войдите снова.", "app.bye": "Вы вышли.",
    "app.live": "На связи", "app.reconnecting": "Восстанавливаем связь", "app.read-only": "Только чтение",
    "app.liveHint": "Изменения приходят сразу. Узел {node}.", "app.reconnectingHint": "Узлы не отвечают, пробуем снова.", "app.read-onlyHint": "Кластер без большинства: смотреть можно, менять пока нельзя.",
    "app.language": "English", "app.dark": "Тёмная тема", "app.light": "Светлая тема", "app.account": "Учётная запись",
    "app.notForYou": "Этот раздел для администраторов.",
  },
  en: {
    "app.skip": "Skip to content", "app.nav": "Sections", "app.logIn": "Log in", "app.logOut": "Log out", "app.register": "Register",
    "app.login": "Login", "app.password": "Password", "app.newPassword": "Choose a password", "app.showPassword": "Show the password", "app.passwordRule": "8 to 128 characters. No e-mail confirmation is needed.",
    "app.welcome": "Log in", "app.welcomeNew": "Register", "app.haveAccount": "I have an account", "app.noAccount": "Create an account",
    "app.registered": "You are registered as {login}.", "app.signedOut": "The session has ended, log in again.", "app.bye": "You have logged out.",
    "app.live": "Live", "app.reconnecting": "Reconnecting", "app.read-only": "Read-only",
    "app.liveHint": "Changes arrive as they happen. Node {node}.", "app.reconnectingHint": "No node answers, trying again.", "app.read-onlyHint": "The cluster has no majority: look, but nothing can be changed now.",
    "app.language": "Русский", "app.dark": "Dark theme", "app.light": "Light theme", "app.account": "Account",
    "app.notForYou": "This section is for administrators.",
  },
});
